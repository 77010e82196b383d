"""What the operator chose for packs, and what became of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from ._tracebacks import shown_traceback
from .discovery import FoundPack, normalise
from .errors import PackConflictError, PackError

__all__ = (
    "BUILT_IN_PACKS",
    "DEFAULT_ALIASES",
    "PackChoice",
    "PackRecord",
    "PackState",
)

BUILT_IN_PACKS: Final = ("comfytavern-core-nodes", "comfytavern-llm-nodes")
DEFAULT_ALIASES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"core": BUILT_IN_PACKS})


class PackState(StrEnum):
    """What became of a pack."""

    AVAILABLE = "available"  # installed and not loaded: not enabled, or not loaded yet
    DISABLED = "disabled"
    LOADED = "loaded"
    FAILED = "failed"
    INCOMPATIBLE = "incompatible"
    CONFLICT = "conflict"
    RESTART_REQUIRED = "restart-required"
    UNINSTALLED = "uninstalled"  # removed from the environment while the host runs


@dataclass(frozen=True)
class PackChoice:
    """Which packs run, and with what; every distribution name is normalised here.

    ``namespaces`` grants a further namespace to one distribution each; ``bypass`` lists
    the packs that may answer for other packs' nodes; ``settings`` holds the raw block of
    each pack. With ``strict`` the first pack that fails ends loading. With
    ``builtin_only`` nothing but the built-in packs is loaded.
    """

    enabled: Literal["*"] | frozenset[str] = "*"
    disabled: frozenset[str] = frozenset()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: DEFAULT_ALIASES)
    namespaces: Mapping[str, str] = field(default_factory=dict)
    bypass: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    strict: bool = False
    builtin_only: bool = False
    lazy: bool = False

    def __post_init__(self) -> None:
        enabled = self.enabled
        normalised: dict[str, object] = {
            "enabled": enabled if enabled == "*" else frozenset(map(normalise, enabled)),
            "disabled": frozenset(map(normalise, self.disabled)),
            "aliases": {a: tuple(map(normalise, packs)) for a, packs in self.aliases.items()},
            "namespaces": {name: normalise(pack) for name, pack in self.namespaces.items()},
            "bypass": tuple(map(normalise, self.bypass)),
            "settings": {normalise(pack): block for pack, block in self.settings.items()},
        }
        for name, value in normalised.items():
            object.__setattr__(self, name, value)

    def enables(self, distribution: str) -> bool:
        """Return whether the pack of this (normalised) name is to be loaded."""
        listed = self.enabled == "*" or distribution in self.enabled
        return listed and not self.disables(distribution)

    def disables(self, distribution: str) -> bool:
        """Return whether the pack is ruled out, which is more than not being listed."""
        outside = self.builtin_only and distribution not in BUILT_IN_PACKS
        return outside or distribution in self.disabled

    def granted_to(self, distribution: str) -> frozenset[str]:
        """Return the namespaces that the operator granted to this pack."""
        return frozenset(name for name, pack in self.namespaces.items() if pack == distribution)

    def names(self) -> frozenset[str]:
        """Return every distribution that the choice speaks of, aliases aside."""
        enabled = frozenset[str]() if self.enabled == "*" else frozenset(self.enabled)
        return enabled.union(self.disabled, self.namespaces.values(), self.bypass, self.settings)


@dataclass(frozen=True, slots=True)
class PackRecord:
    """What a listing shows of one pack.

    ``phase`` is where it failed: metadata, api, import, attribute, hooks, settings, nodes,
    services or runners. ``error`` is one line; ``remedy`` is the next step, if there is one.
    ``import_ms`` is how long the import took, for a pack that is not imported the last one.
    A loaded pack that is ``lazy`` is known by what it was then, and not imported yet.
    """

    distribution: str
    version: str
    summary: str = ""
    state: PackState = PackState.AVAILABLE
    enabled: bool = True
    phase: str = ""
    error: str = ""
    traceback: str = ""
    remedy: str = ""
    node_types: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    import_ms: float | None = None
    lazy: bool = False
    api_range: str | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: FoundPack, choice: PackChoice) -> PackRecord:
        """Return the record of a pack before it is loaded."""
        return cls(
            distribution=found.distribution,
            version=found.version,
            summary=found.summary,
            state=PackState.DISABLED
            if choice.disables(found.distribution)
            else PackState.AVAILABLE,
            enabled=choice.enables(found.distribution),
            commands=tuple(command.name for command in found.commands),
            api_range=found.requires,
            warnings=tuple(f"a second copy is ignored: {place}" for place in found.shadowed),
        )

    def failed(self, error: PackError) -> PackRecord:
        """Return the record of the same pack after a failure."""
        state = PackState.FAILED
        if error.phase == "api":
            state = PackState.INCOMPATIBLE
        elif isinstance(error, PackConflictError):
            state = PackState.CONFLICT
        return replace(
            self,
            state=state,
            phase=error.phase,
            error=_first_line(error.reason),
            traceback=shown_traceback(error.__cause__ or error),
            remedy=error.remedy,
            node_types=(),
            lazy=False,
        )

    def to_wire(self, *, traceback: bool = True) -> dict[str, object]:
        """Return the record as JSON values.

        :param traceback: whether the traceback, which may be long, is in
        """
        wire: dict[str, object] = {
            "distribution": self.distribution,
            "version": self.version,
            "summary": self.summary,
            "state": self.state.value,
            "enabled": self.enabled,
            "phase": self.phase,
            "error": self.error,
            "remedy": self.remedy,
            "nodeTypes": list(self.node_types),
            "commands": list(self.commands),
            "importMs": self.import_ms,
            "lazy": self.lazy,
            "apiRange": self.api_range,
            "warnings": list(self.warnings),
        }
        return wire | ({"traceback": self.traceback} if traceback else {})


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip()
