"""The code of ApplyRegex; imported when such a node first runs."""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..regexes import (
    Passage,
    Placement,
    RegexWorker,
    Rule,
    apply_to_all,
    read_rule,
    rules_that_count,
)

__all__ = ("apply_regex",)

SERVICE = "regex_worker"
_ANY = "any"


async def apply_regex(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    """Apply the inline rules and then the loaded ones to the text.

    :raises RuleError: a rule's pattern is wrong, or it takes too long; the text names the rule
    """
    text = inputs.get("inputText")
    if not isinstance(text, str):
        raise TypeError(f"input 'inputText' is {describe_value(text)}; expected text")
    lists = [_rules(inputs, slot, context) for slot in ("inlineRegexRules", "regexRules")]
    passage = Passage(text, _placement(context), _depth(context))
    rules = rules_that_count(*lists)
    worker = context.services.get(SERVICE)
    if isinstance(worker, RegexWorker):
        changed = await apply_to_all([passage], rules, worker)
    else:  # a host that was given the nodes without their pack
        async with RegexWorker() as own:
            changed = await apply_to_all([passage], rules, own)
    return {"outputText": changed[0]}


def _rules(inputs: Mapping[str, object], slot: str, context: NodeContext) -> list[Rule]:
    values = inputs.get(slot)
    if values is None:
        return []
    if not isinstance(values, list | tuple):
        raise TypeError(f"input {slot!r} is {describe_value(values)}; expected a list of rules")
    rules: list[Rule] = []
    for index, value in enumerate(values):
        try:
            rule = read_rule(value)
        except ValueError as exc:
            context.log.warning("%s[%d] is skipped: %s", slot, index, exc)
        else:
            rules.append(rule)
    return rules


def _placement(context: NodeContext) -> Placement | None:
    name = context.config.get("placement") or _ANY
    if name == _ANY:
        return None
    known = {placement.name.lower(): placement for placement in Placement}
    if not isinstance(name, str) or name not in known:
        expected = ", ".join([_ANY, *known])
        raise ValueError(f"'placement' is {name!r}; expected one of {expected}")
    return known[name]


def _depth(context: NodeContext) -> int | None:
    depth = context.config.get("depth")
    return depth if isinstance(depth, int) and depth >= 0 else None
