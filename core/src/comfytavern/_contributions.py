"""What packs contribute by name, services and runners: one owner for each name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from .errors import PackConflictError

__all__ = ("Contributions",)


class Contributions:
    """The things of one kind, by name, each with the pack that it came from."""

    def __init__(self, kind: str, reserved: Iterable[str] = ()) -> None:
        self._kind = kind
        self._values: dict[str, object] = {}
        self._owners = dict.fromkeys(reserved, "")
        self.values: Mapping[str, object] = MappingProxyType(self._values)

    def add(self, distribution: str, version: str, named: Mapping[str, object]) -> None:
        """Add everything that a pack contributes, or nothing.

        :raises PackConflictError: a name is taken; the text names both packs
        """
        for name in named:
            if name in self._owners:
                owner = self._owners[name]
                whose = f"taken by pack {owner!r}" if owner else "the host's own"
                reason = f"{self._kind} {name!r} is {whose}"
                phase = f"{self._kind}s"
                raise PackConflictError(distribution, reason, version=version, phase=phase)
        self._values.update(named)
        self._owners.update(dict.fromkeys(named, distribution))

    def of(self, distribution: str) -> frozenset[str]:
        """Return the names that a pack contributed."""
        return frozenset(name for name, owner in self._owners.items() if owner == distribution)

    def remove(self, distribution: str) -> None:
        """Remove everything that a pack contributed; nothing is no error."""
        for name in [name for name, owner in self._owners.items() if owner == distribution]:
            del self._owners[name], self._values[name]
