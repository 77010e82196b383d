"""``comfytavern nodes``: which node types there are, and what one of them looks like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
    from comfytavern.registry import NodeRegistry, RegisteredNode

__all__ = ("nodes",)

# Of a slot's ``config``, what a person who writes a workflow wants to know.
_SHOWN = ("default", "min", "max", "step", "suggestions")


@click.group()
def nodes() -> None:
    """Node types of the loaded packs."""


@nodes.command("list")
@click.option("--pack", metavar="NAME", help="Only those of this distribution.")
@click.option("--category", metavar="NAME", help="Only those of this category.")
@json_option("Print one JSON document: a list of definitions as a page gets them.")
@pass_session
def list_nodes(session: Session, pack: str | None, category: str | None, as_json: bool) -> None:
    """List node types by pack and category."""
    # Packs and pydantic: not for help.
    from comfytavern.errors import did_you_mean
    from comfytavern.node_listing import definitions_for_wire

    host = session.open_host(imports="needed")
    found = list(host.registry)
    if pack is not None:
        name = host.packs.record(pack).distribution
        found = [node for node in found if node.distribution == name]
    if category is not None:
        known = sorted({node.definition.category for node in host.registry})
        wanted = {name.lower(): name for name in known}.get(category.lower())
        if wanted is None:
            hint = did_you_mean(category, known) or f"; categories: {', '.join(known)}"
            context = click.get_current_context()
            raise click.UsageError(f"there is no category {category!r}{hint}", context)
        found = [node for node in found if node.definition.category == wanted]
    if as_json:
        session.console.json(definitions_for_wire(found))
        return
    found.sort(key=lambda node: (node.distribution, node.definition.category))
    rows = [
        (n.full_type, n.definition.category, n.definition.display_name or n.definition.type)
        for n in found
    ]
    session.console.table(("TYPE", "CATEGORY", "NAME"), rows)


@nodes.command("show")
@click.argument("node_type", metavar="TYPE")
@json_option("Print one JSON document: the definition as a page gets it.")
@pass_session
def show_node(session: Session, node_type: str, as_json: bool) -> None:
    """Show the slots of a node type: 'namespace:Type', or 'Type' if only one has it."""
    # Packs and pydantic: not for help.
    from comfytavern.errors import Finding, WorkflowError
    from comfytavern.node_listing import definition_for_wire

    host = session.open_host(imports="needed")
    node = _find(host.registry, node_type)
    if node is None:
        reason = host.registry.explain_missing(node_type)
        message = f"unknown node type {node_type!r}" + (f"; {reason}" if reason else "")
        raise WorkflowError([Finding("unknown_node_type", message)])
    if as_json:
        session.console.json(definition_for_wire(node))
        return
    for line in _lines(node):
        session.console.line(line)


def _find(registry: NodeRegistry, node_type: str) -> RegisteredNode | None:
    if ":" in node_type:
        return registry.get(node_type)
    named = [node for node in registry if node.definition.type == node_type]
    return named[0] if len(named) == 1 else None


def _lines(node: RegisteredNode) -> list[str]:
    definition = node.definition
    marks = {
        "deprecated": definition.deprecated,
        "experimental": definition.experimental,
        "takes any slot": definition.dynamic_slots,
    }
    notes = [definition.category, *(mark for mark, holds in marks.items() if holds)]
    lines = [
        f"{node.full_type}  {definition.display_name}".rstrip(),
        f"  {', '.join(notes)}; from {node.distribution} {node.version}",
    ]
    if definition.description:
        lines += [f"  {definition.description}"]
    lines += _section("inputs", definition.inputs)
    lines += _section("outputs", definition.outputs)
    lines += _section("config", definition.config_schema)
    return lines + _modes(definition)


def _modes(definition: NodeDefinition) -> list[str]:
    lines: list[str] = []
    for name, mode in definition.modes.items():
        default = " (default)" if name == definition.default_mode_id else ""
        lines += ["", f"mode {name}{default}, chosen by config {definition.mode_config_key!r}"]
        lines += _section("inputs", mode.inputs) + _section("outputs", mode.outputs)
    return lines


def _section(
    title: str, slots: Mapping[str, InputDefinition] | Mapping[str, OutputDefinition]
) -> list[str]:
    if not slots:
        return []
    lines = ["", f"{title}:"]
    for name, slot in slots.items():
        lines.append(f"  {name}: {', '.join([str(slot.slot_type), *_facts(slot)])}")
        text = slot.description or slot.display_name
        lines += [f"      {line}" for line in (text or "").splitlines()]
    return lines


def _facts(slot: InputDefinition | OutputDefinition) -> list[str]:
    config = getattr(slot, "config", {})
    required = getattr(slot, "required", False)
    facts = ["depends on the config whether it is required"] if callable(required) else []
    if required is True:
        facts.append("required")
    if getattr(slot, "multi", False):
        facts.append("several")
    shown = {key: config[key] for key in _SHOWN if key in config}
    return facts + [
        f"{key} {json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in shown.items()
    ]
