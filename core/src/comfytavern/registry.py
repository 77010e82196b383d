"""The node types of the loaded packs, by full type.

Of a pack that is not imported yet there are the full types, and each definition is read
when somebody asks for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ._registered_nodes import DeferredNode, RegisteredNode, registered_nodes
from .definitions import NodeDefinition
from .discovery import normalise
from .errors import PackConflictError, PackError, did_you_mean
from .pack_records import DEFAULT_ALIASES, PackRecord, PackState
from .replacements import ReplacedType, Replacements

if TYPE_CHECKING:
    from .workflow import RecordedPack

__all__ = ("DeferredNode", "NodeRegistry", "RegisteredNode")

Records = Callable[[], Mapping[str, PackRecord]]


class NodeRegistry:
    """Holds node definitions by full type and answers the operator's aliases.

    :param aliases: a short namespace, and the distributions that answer to it, in order
    :param namespaces: granted namespaces and the distribution that may use each; only for
        the explanation of a missing type
    :param records: what became of every pack, for the same purpose
    """

    def __init__(
        self,
        *,
        aliases: Mapping[str, Sequence[str]] = DEFAULT_ALIASES,
        namespaces: Mapping[str, str] | None = None,
        records: Records = dict,
    ) -> None:
        self._aliases = aliases
        self._namespaces = namespaces or {}
        self._records = records
        self._nodes: dict[str, RegisteredNode] = {}
        self._packs: dict[str, tuple[RegisteredNode, ...]] = {}
        self._resolved: dict[str, RegisteredNode] = {}
        self._replacements = Replacements()
        self._revision = 0

    @property
    def revision(self) -> int:
        """A number that rises whenever a full type may mean something else than before."""
        return self._revision

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[RegisteredNode]:
        """Iterate by distribution name, inside a pack in its own order."""
        packs = dict(self._packs)
        return (node for distribution in sorted(packs) for node in packs[distribution])

    def of_pack(self, distribution: str) -> tuple[RegisteredNode, ...]:
        """Return the node types of one pack, in its own order."""
        return self._packs.get(distribution, ())

    def use(self, *, aliases: Mapping[str, Sequence[str]], namespaces: Mapping[str, str]) -> None:
        """Replace the operator's aliases and grants, for whoever asks from now on.

        Node types stay under the namespaces that they were added with.
        """
        self._aliases = aliases
        self._namespaces = namespaces
        self._forget()

    def get(self, full_type: str) -> RegisteredNode | None:
        """Return the node of this full type, or of one that an alias stands for."""
        return self._nodes.get(full_type) or self._resolved.get(full_type) or self._find(full_type)

    def _find(self, full_type: str) -> RegisteredNode | None:
        # Another thread may rescan: what is found in the old state is noted in the old answers.
        resolved = self._resolved
        alias, _, name = full_type.partition(":")
        for distribution in self._aliases.get(alias, ()):
            node = self._nodes.get(f"{distribution}:{name}")
            if node is not None:
                resolved[full_type] = node
                return node
        return None

    def replacement(self, full_type: str) -> ReplacedType | None:
        """Return what a pack says became of an old type, also of one that still exists.

        A name that an alias stands for is looked up in the alias's distributions, in order.
        """
        found = self._replacements.get(full_type)
        if found is None and self._replacements:
            alias, _, name = full_type.partition(":")
            olds = (f"{distribution}:{name}" for distribution in self._aliases.get(alias, ()))
            found = next(filter(None, map(self._replacements.get, olds)), None)
        return found

    def add_pack(
        self,
        distribution: str,
        version: str,
        definitions: Iterable[NodeDefinition],
        granted_namespaces: Iterable[str] = (),
    ) -> tuple[RegisteredNode, ...]:
        """Add every node type of a pack, or none.

        :raises PackConflictError: a full type is taken, or an old type has an heir already;
            the text names both sides
        :raises PackError: a definition claims a namespace that is not the pack's, or replaces
            what it cannot
        """
        nodes = registered_nodes(distribution, version, definitions)
        self._add(distribution, version, nodes, granted_namespaces)
        return nodes

    def add_deferred(
        self,
        distribution: str,
        version: str,
        nodes: Sequence[DeferredNode],
        granted_namespaces: Iterable[str] = (),
    ) -> None:
        """Add every node type of a pack that is not imported yet, or none.

        :raises PackError: as ``add_pack``
        """
        self._add(distribution, version, nodes, granted_namespaces)

    def replace_pack(
        self,
        distribution: str,
        version: str,
        definitions: Iterable[NodeDefinition],
        granted_namespaces: Iterable[str] = (),
    ) -> tuple[RegisteredNode, ...]:
        """Put the definitions of a pack in the place of those it had.

        What is in both is never missing meanwhile: runs are being compiled. If it fails, the
        pack is to be removed.

        :raises PackError: as ``add_pack``
        """
        nodes = registered_nodes(distribution, version, definitions)
        before = {node.full_type for node in self.of_pack(distribution)}
        allowed = {distribution, *granted_namespaces}
        fresh = self._checked(distribution, version, nodes, allowed, before)
        if _replaced_by(nodes) != _replaced_by(self.of_pack(distribution)):
            self._replacements.remove(distribution)
            self._replacements.add(self._steps(distribution, version, nodes, allowed), allowed)
        self._packs[distribution] = nodes
        self._nodes.update(fresh)
        for full_type in before - fresh.keys():
            del self._nodes[full_type]
        self._forget()
        return nodes

    def _add(
        self,
        distribution: str,
        version: str,
        nodes: Sequence[RegisteredNode],
        granted: Iterable[str],
    ) -> None:
        allowed = {distribution, *granted}
        added = self._checked(distribution, version, nodes, allowed)
        self._replacements.add(self._steps(distribution, version, nodes, allowed), allowed)
        self._packs[distribution] = (*self.of_pack(distribution), *added.values())
        self._nodes.update(added)
        self._forget()

    def _checked(
        self,
        distribution: str,
        version: str,
        nodes: Iterable[RegisteredNode],
        allowed: Collection[str],
        replaced: Collection[str] = (),
    ) -> dict[str, RegisteredNode]:
        """Return nodes by full type, if every one may be added.

        :raises PackError: one claims a namespace that is not the pack's, or is taken
        """
        added: dict[str, RegisteredNode] = {}
        for node in nodes:
            namespace, _, name = node.full_type.partition(":")
            if namespace not in allowed:
                raise _foreign_namespace(distribution, version, name, namespace)
            taken = added.get(node.full_type)
            if taken is None and node.full_type not in replaced:
                taken = self._nodes.get(node.full_type)
            if taken is not None:
                raise _taken(node, taken)
            added[node.full_type] = node
        return added

    def _steps(
        self,
        distribution: str,
        version: str,
        nodes: Iterable[RegisteredNode],
        allowed: Collection[str],
    ) -> tuple[ReplacedType, ...]:
        """Return what nodes replace.

        :raises PackError: it cannot be, or has an heir already
        """
        claiming = {node.full_type: node.definition for node in nodes if node.replaces_others}
        aliases = self._aliases
        return self._replacements.check(distribution, version, claiming, allowed, aliases)

    def remove_pack(self, distribution: str) -> None:
        """Remove every node type of a pack; one that has none is no error."""
        for node in self._packs.pop(distribution, ()):
            del self._nodes[node.full_type]
        self._replacements.remove(distribution)
        self._forget()

    def _forget(self) -> None:
        self._resolved = {}
        self._revision += 1

    def explain_missing(self, full_type: str, recorded: RecordedPack | None = None) -> str:
        """Say why no node has this full type, and what to do about it.

        The text is one clause, to follow ``unknown type 'x:Y'; ``.

        :param recorded: the pack that the workflow says the node is of
        """
        step = self.replacement(full_type)
        if step is not None:  # of a workflow it would have been brought up to date
            return f"it was replaced by {step.definition!r}"
        reason = self._explain_recorded(recorded) if recorded is not None else ""
        return reason or self._explain_name(full_type)

    def _explain_recorded(self, recorded: RecordedPack) -> str:
        """Explain by the pack that is named; nothing if that one is there and new enough."""
        record = self._record(recorded.distribution)
        remedy = f'pip install "{recorded.requirement}"'
        if record is None:
            return f"pack {recorded.distribution!r} is not installed: {remedy}"
        if record.state is PackState.UNINSTALLED:
            return f"pack {record.distribution!r} was uninstalled: {remedy}"
        if record.state not in _LOADED:
            return _explain_state(record)
        if recorded.is_newer_than(record.version):
            pack = f"pack {record.distribution!r} {record.version} has no such type"
            return f"{pack}; the workflow was saved with {recorded.version}: {remedy}"
        return ""

    def _explain_name(self, full_type: str) -> str:
        namespace, colon, name = full_type.partition(":")
        if not colon:
            return self._explain_bare(full_type)
        if namespace in self._aliases:
            return self._explain_alias(namespace, name)
        distribution = self._namespaces.get(namespace, namespace)
        record = self._record(distribution)
        if record is None:
            known = {*self._records(), *self._packs, *self._aliases}
            return _install(distribution) + did_you_mean(namespace, known)
        if record.state in _LOADED:
            return self._explain_loaded(record, namespace, name)
        return _explain_state(record)

    def _explain_bare(self, name: str) -> str:
        named = sorted(full for full in list(self._nodes) if full.endswith(f":{name}"))
        if named:
            return "a full type is 'namespace:Type'; did you mean " + _either(named)
        return "a full type is 'namespace:Type'"

    def _explain_alias(self, alias: str, name: str) -> str:
        distributions = self._aliases[alias]
        records = {distribution: self._record(distribution) for distribution in distributions}
        reasons = [
            _install(distribution) if record is None else _explain_state(record)
            for distribution, record in records.items()
            if record is None or record.state not in _LOADED
        ]
        close = self._close_to(alias, name, distributions)
        if not (reasons or close):
            return f"no pack behind {alias!r} has it ({', '.join(distributions) or 'none'})"
        return ("; ".join(reasons) + close).removeprefix("; ")

    def _explain_loaded(self, record: PackRecord, namespace: str, name: str) -> str:
        pack = f"pack {record.distribution!r} {record.version} has no such type"
        if record.state is PackState.RESTART_REQUIRED:  # what is installed now may have it
            return f"{pack}; {record.error}; {record.remedy}"
        return pack + self._close_to(namespace, name, [namespace])

    def _close_to(self, shown: str, name: str, namespaces: Iterable[str]) -> str:
        """Offer the type whose own name is closest; the namespaces would outweigh it."""
        pairs = (full_type.split(":") for full_type in list(self._nodes))
        wanted = set(namespaces)
        names = [own for namespace, own in pairs if namespace in wanted]
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        return f"; did you mean {f'{shown}:{close[0]}'!r}?" if close else ""

    def _record(self, distribution: str) -> PackRecord | None:
        name = normalise(distribution)
        record = self._records().get(name)
        if record is None and (nodes := self.of_pack(name)):
            return PackRecord(name, nodes[0].version, state=PackState.LOADED)
        return record


_LOADED = frozenset({PackState.LOADED, PackState.RESTART_REQUIRED})


def _replaced_by(nodes: Iterable[RegisteredNode]) -> dict[str, object]:
    return {node.full_type: node.definition.replaces for node in nodes if node.replaces_others}


def _install(distribution: str) -> str:
    return f'pack {distribution!r} is not installed: pip install "{distribution}"'


def _either(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names[:3]) + "?"


def _explain_state(record: PackRecord) -> str:
    pack = f"pack {record.distribution!r} {record.version}"
    enable = f"comfytavern packs enable {record.distribution}"
    if record.state is PackState.DISABLED:
        return f"{pack} is disabled: {enable}"
    if record.state is PackState.AVAILABLE:
        missing, remedy = ("loaded", record.remedy) if record.enabled else ("enabled", enable)
        return f"{pack} is installed but not {missing}" + (f": {remedy}" if remedy else "")
    if record.state is PackState.UNINSTALLED:
        return f'{pack} was uninstalled: pip install "{record.distribution}"'
    if record.state is PackState.INCOMPATIBLE:
        what = "does not fit this host"
    elif record.state is PackState.CONFLICT:
        what = "is in conflict"
    else:
        what = f"failed to load ({record.phase})"
    return f"{pack} {what}: {record.error}" + (f"; {record.remedy}" if record.remedy else "")


def _foreign_namespace(distribution: str, version: str, name: str, namespace: str) -> PackError:
    return PackError(
        distribution,
        f"node type {name!r} claims the namespace {namespace!r}, which is not its own",
        version=version,
        phase="nodes",
        remedy=(
            "leave the namespace out, or grant it in the config:"
            f" packs.namespaces: {{{namespace}: {distribution}}}"
        ),
    )


def _taken(node: RegisteredNode, taken: RegisteredNode) -> PackConflictError:
    if taken.distribution == node.distribution:
        places = sorted({_place(taken), _place(node)})
        reason = f"it has two node types {node.full_type!r} ({' and '.join(places)})"
    else:
        reason = (
            f"node type {node.full_type!r} is taken by pack {taken.distribution!r} {taken.version}"
        )
    return PackConflictError(node.distribution, reason, version=node.version, phase="nodes")


def _place(node: RegisteredNode) -> str:
    return node.definition.file_path or "no file"
