"""Which old node types the loaded packs replace, and by what.

A replacement leads from an old full type to the next one: as a rule a registered node, or
another old type of the same definition. What must stay true: within a pack no chain of them
leads back to where it began, and an old type has one heir.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from .definitions import GraphRole, InputDefinition, NodeDefinition, OutputDefinition, Replacement
from .errors import PackConflictError, PackError, did_you_mean

__all__ = ("ReplacedType", "Replacements")


@dataclass(frozen=True, slots=True)
class ReplacedType:
    """One step from an old full type to the next, and whose word that is."""

    old: str
    new: str
    definition: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    config: Mapping[str, str]
    distribution: str
    version: str


class Replacements:
    """Holds the replacements that packs declare, by old full type.

    What a pack says of its own old types goes before what another says of them.
    """

    def __init__(self) -> None:
        self._own: dict[str, ReplacedType] = {}
        self._foreign: dict[str, ReplacedType] = {}

    def __bool__(self) -> bool:
        return bool(self._own or self._foreign)

    def get(self, full_type: str) -> ReplacedType | None:
        """Return what became of an old type, exactly as it is named."""
        return self._own.get(full_type) or self._foreign.get(full_type)

    def check(
        self,
        distribution: str,
        version: str,
        definitions: Mapping[str, NodeDefinition],
        namespaces: Iterable[str],
        aliases: Iterable[str],
    ) -> tuple[ReplacedType, ...]:
        """Return what a pack's definitions replace; nothing is taken in yet.

        :param definitions: by full type
        :param namespaces: those that are the pack's own
        :param aliases: namespaces that are the operator's
        :raises PackConflictError: an old type has an heir already; the text names both
        :raises PackError: a declaration cannot be meant so
        """
        own = set(namespaces)
        found: dict[str, ReplacedType] = {}
        claim = _Claim(distribution, version, own, frozenset(aliases))
        for step in claim.steps(definitions):
            earlier = found.get(step.old) or self._own.get(step.old)
            if earlier is None and step.old.partition(":")[0] not in own:
                earlier = self._foreign.get(step.old)
            if earlier is not None:
                raise _conflict(step, earlier)
            found[step.old] = step
        claim.refuse_loops(found)
        return tuple(found.values())

    def add(self, steps: Iterable[ReplacedType], namespaces: Iterable[str]) -> None:
        """Take in what ``check`` returned."""
        own = set(namespaces)
        for step in steps:
            kept = self._own if step.old.partition(":")[0] in own else self._foreign
            kept[step.old] = step

    def remove(self, distribution: str) -> None:
        """Remove everything that a pack declared; nothing is no error."""
        for kept in (self._own, self._foreign):
            for old in [old for old, step in kept.items() if step.distribution == distribution]:
                del kept[old]


@dataclass(frozen=True, slots=True)
class _Claim:
    """The declarations of one pack."""

    distribution: str
    version: str
    own: set[str]
    aliases: frozenset[str]

    def steps(self, definitions: Mapping[str, NodeDefinition]) -> Iterator[ReplacedType]:
        """Return the step that each declaration makes.

        :raises PackError: one cannot be meant so
        """
        for full_type, definition in definitions.items():
            namespace = full_type.partition(":")[0]
            olds = {_full(one.type, namespace) for one in definition.replaces}
            for one in definition.replaces:
                old = _full(one.type, namespace)
                new = full_type if one.into is None else _full(one.into, namespace)
                self._refuse_alias(full_type, old)
                if one.into is not None and new not in olds:
                    types = [other.type for other in definition.replaces if other is not one]
                    known = did_you_mean(one.into, types) or "; add one for it"
                    reason = f"{old!r} into {new!r}, for which it has no replacement{known}"
                    raise self._refused(full_type, reason)
                if one.into is None:
                    self._refuse_names(full_type, old, one, definition)
                maps = (one.inputs, one.outputs, one.config)
                yield ReplacedType(old, new, full_type, *maps, self.distribution, self.version)

    def refuse_loops(self, steps: Mapping[str, ReplacedType]) -> None:
        """Refuse steps that lead back to where they began.

        :raises PackError: naming the whole way
        """
        for first in steps:
            trail, step = [first], steps.get(first)
            while step is not None and step.old != step.new and step.new not in trail:
                trail.append(step.new)
                step = steps.get(step.new)
            if step is not None and step.old != step.new and step.new == first:
                shown = " -> ".join((*trail, first))
                raise self._refused(step.definition, f"types in a circle: {shown}")

    def _refuse_alias(self, full_type: str, old: str) -> None:
        namespace = old.partition(":")[0]
        if namespace in self.aliases and namespace not in self.own:
            reason = (
                f"{old!r}, but {namespace!r} is an alias of the operator's;"
                " name the distribution that had the type"
            )
            raise self._refused(full_type, reason)

    def _refuse_names(
        self, full_type: str, old: str, one: Replacement, definition: NodeDefinition
    ) -> None:
        """Refuse names that the definition does not have, or still has."""
        slots = _slots(definition)
        before = _names_before(definition, full_type)
        if old == full_type and not any((one.inputs, one.outputs, one.config)):
            raise self._refused(full_type, "itself and maps no name")
        for word, names in (("input", one.inputs), ("output", one.outputs), ("config", one.config)):
            known = slots[word]
            value = "config value" if word == "config" else word
            for name, new in names.items():
                if known is not None and new not in known and new not in before[word]:
                    has = did_you_mean(new, known) or f"; it has: {', '.join(known) or 'none'}"
                    reason = f"{old!r} and maps {value} {name!r} to {new!r}, which is none{has}"
                    raise self._refused(full_type, reason)
                if old == full_type and known is not None and name in known:
                    reason = f"itself and maps {value} {name!r}, which it still has"
                    raise self._refused(full_type, reason)

    def _refused(self, full_type: str, reason: str) -> PackError:
        text = f"node type {full_type!r} replaces {reason}"
        return PackError(self.distribution, text, version=self.version, phase="nodes")


def _slots(definition: NodeDefinition) -> dict[str, Collection[str] | None]:
    """Return the names in every mode, by kind; None where any name goes."""
    inputs: dict[str, InputDefinition] = dict(definition.inputs)
    outputs: dict[str, OutputDefinition] = dict(definition.outputs)
    for mode in definition.modes.values():
        inputs |= mode.inputs
        outputs |= mode.outputs
    config = list(definition.config_schema)
    if definition.mode_config_key:
        config.append(definition.mode_config_key)
    is_open = definition.dynamic_slots or definition.graph_role is not GraphRole.NONE
    return {
        "input": None if is_open else inputs,
        "output": None if is_open else outputs,
        "config": config if definition.config_schema else None,
    }


def _names_before(definition: NodeDefinition, full_type: str) -> dict[str, set[str]]:
    """Return the names that the definition's own slots had, by kind."""
    namespace = full_type.partition(":")[0]
    own = [one for one in definition.replaces if _full(one.type, namespace) == full_type]
    return {
        "input": {name for one in own for name in one.inputs},
        "output": {name for one in own for name in one.outputs},
        "config": {name for one in own for name in one.config},
    }


def _full(type_name: str, namespace: str) -> str:
    return type_name if ":" in type_name else f"{namespace}:{type_name}"


def _conflict(step: ReplacedType, earlier: ReplacedType) -> PackConflictError:
    whose = (
        ""
        if earlier.distribution == step.distribution
        else (f" of pack {earlier.distribution!r} {earlier.version}")
    )
    reason = (
        f"node type {step.definition!r} replaces {step.old!r}, which node type"
        f" {earlier.definition!r}{whose} replaces already"
    )
    return PackConflictError(step.distribution, reason, version=step.version, phase="nodes")
