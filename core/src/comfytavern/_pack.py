"""A pack while it is loaded, and the one way in which its code is called at load time.

Whatever comes out of a pack's code, ``sys.exit`` included, is that pack's failure. Only
KeyboardInterrupt is the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel

from ._import_guard import guarded
from ._pack_files import PackFiles
from ._pack_hooks import Implementation
from .definition_cache import CachedPack
from .definitions import NodeDefinition
from .discovery import FoundPack
from .errors import PackError, PackHookError

__all__ = (
    "Asking",
    "Pack",
    "blame_hook",
    "call_hook",
    "calling",
    "describe_error",
    "disable_remedy",
)

T = TypeVar("T")

Asking = Callable[..., Sequence[Any]]  # Any: the answers of PackManager.ask


@dataclass(slots=True, eq=False)
class Pack:
    """A pack while it is loaded; to its hooks it is the ``PackContext``.

    ``block`` and ``granted`` are what the operator gave it when it was loaded.
    """

    distribution: str
    version: str
    asking: Asking
    found: FoundPack | None = None
    files: PackFiles | None = None
    folder: Path | None = None
    block: object = None
    granted: frozenset[str] = frozenset()
    plugins: list[object] = field(default_factory=list)
    implementations: list[Implementation] = field(default_factory=list)
    settings: object = None
    settings_model: type[BaseModel] | None = None
    warnings: list[str] = field(default_factory=list)
    import_ms: float | None = None
    # what is known of it from an earlier import; None once it is imported
    known: CachedPack | None = None
    # its definitions by full type, once they are known from itself
    definitions: Mapping[str, NodeDefinition] = field(default_factory=dict)
    # whether its code has asked for what no key of a cache can hold: at all, and for its nodes
    looked_around: bool = False
    nodes_depend_on_more: bool = False

    @property
    def data_dir(self) -> Path | None:
        """A folder that the pack may write to; made when it is asked for."""
        self.looked_around = True
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder

    def warn(self, message: str) -> None:
        """Put a warning on the pack's record."""
        self.warnings.append(message)

    def ask(self, hook: str, **arguments: object) -> Sequence[Any]:  # Any: see ``Asking``
        """Ask every pack for a hook that this pack defined, one pack at a time."""
        self.looked_around = True
        return self.asking(hook, **arguments)

    def listed_files(self) -> PackFiles | None:
        """Return the files of an installed pack; those of one not imported are read now."""
        if self.files is None and self.found is not None:
            self.files = PackFiles(self.found)
        return self.files

    @property
    def files_digest(self) -> str:
        """A hash over its files; empty for a pack in memory."""
        if self.known is not None:
            return self.known.files_digest
        return self.files.digest if self.files is not None else ""

    @property
    def tops(self) -> frozenset[str]:
        """The top-level packages or modules that its entry points, or its plugins, name."""
        files = self.listed_files()
        if files is not None:
            return files.tops
        return frozenset(map(_top_of, self.plugins))

    def owns(self, module: str) -> bool:
        """Return whether a module of this name belongs to the pack."""
        files = self.listed_files()
        if files is not None:
            return files.owns(module)
        return module.partition(".")[0] in self.tops

    def definition_of(self, full_type: str) -> NodeDefinition:
        """Return a definition of a pack that is imported.

        :raises PackError: it has no such node type
        """
        definition = self.definitions.get(full_type)
        if definition is None:
            reason = f"it has no node type {full_type!r} any more"
            raise PackError(self.distribution, reason, version=self.version, phase="nodes")
        return definition

    def implementation(self, hook: str) -> Implementation | None:
        """Return how the pack implements a hook that it can implement only once.

        :raises PackHookError: it implements it more than once
        """
        found = [i for i in self.implementations if i.hook == hook]
        if len(found) > 1:
            reason = f"hook {hook!r} is implemented {len(found)} times; a pack answers it once"
            raise PackHookError(self.distribution, reason, version=self.version, phase="hooks")
        return found[0] if found else None


@contextmanager
def calling(pack: Pack, blame: Callable[[str], PackError]) -> Iterator[None]:
    """Run the body, which is the pack's code; guarded, unless whoever runs us made the pack.

    :param blame: makes the error from one line about what was raised
    :raises PackError: whatever came out of the body, KeyboardInterrupt aside
    """
    changes: list[str] = []
    try:
        guard = nullcontext(changes) if pack.found is None else guarded(pack.distribution)
        with guard as changes:
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, PackError) and error.distribution == pack.distribution:
            raise  # our own verdict, or the pack's about itself
        raise blame(describe_error(error)) from error
    finally:
        pack.warnings += [change for change in changes if change not in pack.warnings]


def call_hook(
    pack: Pack, implementation: Implementation, phase: str, take: Callable[[Any], T]
) -> T:
    """Call a hook of the pack with its context.

    :param take: turns the answer into what is wanted; it is guarded too, as the answer may
        be a generator
    :raises PackHookError: it raised
    """
    with calling(pack, blame_hook(pack, phase, implementation.hook)):
        return take(implementation.call({"pack": pack}))


def blame_hook(pack: Pack, phase: str, hook: str = "") -> Callable[[str], PackHookError]:
    """Return what makes the error of a hook that raised."""

    def blame(reason: str) -> PackHookError:
        return PackHookError(
            pack.distribution,
            f"hook {hook!r} raised {reason}" if hook else reason,
            version=pack.version,
            phase=phase,
            remedy=disable_remedy(pack.distribution),
        )

    return blame


def disable_remedy(distribution: str) -> str:
    """Return what to do about a pack that does not work."""
    return f"disable it with: comfytavern packs disable {distribution}"


def describe_error(error: BaseException) -> str:
    """Return what a pack raised, in one line."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    try:
        text = str(error).strip().partition("\n")[0]
    except Exception:  # an exception of the pack may be broken too
        text = ""
    if isinstance(error, ImportError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _top_of(plugin: object) -> str:
    name = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
    return name.partition(".")[0]
