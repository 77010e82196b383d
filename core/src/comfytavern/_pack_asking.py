"""Asking loaded packs while the host runs: one at a time, each failure with its name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from ._pack import Pack, describe_error
from ._pack_catalogue import PackCatalogue
from ._pack_hooks import Implementation, PackHooks
from .errors import PackHookError, did_you_mean

__all__ = ("Answer", "Listener", "PackAsking")

# How long a pack may take to get ready or to let go before the host goes on without it.
LIFECYCLE_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """One pack's implementation of a hook, to be called with the arguments it asks for."""

    distribution: str
    version: str
    function: Callable[..., Any]  # Any: each hook returns something else
    argument_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one pack answered to a hook."""

    distribution: str
    value: Any  # Any: each hook returns something else


class PackAsking:
    """Asks the packs in ``packs``, which others keep up to date.

    Those in ``left`` were loaded once and are asked nothing but to let go at the end.
    """

    def __init__(
        self,
        hooks: PackHooks,
        packs: Mapping[str, Pack],
        left: Mapping[str, Pack],
        catalogue: PackCatalogue,
    ) -> None:
        self._hooks = hooks
        self._packs = packs
        self._left = left
        self._catalogue = catalogue
        self._started: set[str] = set()

    def listeners(self, hook: str) -> list[Listener]:
        """Return who implements a hook, in the order in which they are to be called."""
        return [
            Listener(i.distribution, i.version, i.function, i.argument_names)
            for i in self._hooks.of(hook)
        ]

    def bypass_rule(self, others: Sequence[str]) -> Callable[[str], list[Listener]]:
        """Return what tells, by pack, who may decide for its bypassed nodes, in order.

        What it tells stays as it is now, whichever packs come and go.

        :param others: who may decide for every pack, after the pack itself
        """
        found = self.listeners("bypass_outputs")

        def deciders(pack: str) -> list[Listener]:
            names = dict.fromkeys((pack, *others))
            return [each for name in names for each in found if each.distribution == name]

        return deciders

    def ask(self, hook: str, arguments: Mapping[str, object]) -> list[Answer]:
        """Ask every pack for a hook, one at a time; None is no answer.

        :raises ValueError: there is no such hook
        :raises TypeError: the arguments are not those of the hook
        """
        self._check_arguments(hook, arguments)
        answers: list[Answer] = []
        for implementation in self._hooks.of(hook):
            own = {"pack": self._packs.get(implementation.distribution)}
            try:
                value = implementation.call({**own, **arguments})
            except (Exception, SystemExit) as error:
                self._blame(implementation, f"raised {describe_error(error)}", error)
                continue
            if value is not None:
                answers.append(Answer(implementation.distribution, value))
                if self._hooks.is_first_result(hook):
                    break
        return answers

    def _check_arguments(self, hook: str, arguments: Mapping[str, object]) -> None:
        known = self._hooks.known()
        if hook not in known:
            raise ValueError(f"no hook is named {hook!r}{did_you_mean(hook, known)}")
        offered = self._hooks.arguments_of(hook)
        # Each pack gets its own context where the caller gives none.
        if set(arguments) - {"pack"} != set(offered) - {"pack"}:
            given = ", ".join(sorted(arguments)) or "none"
            raise TypeError(f"hook {hook!r} takes {', '.join(offered)}; given: {given}")

    async def started(self) -> None:
        """Tell packs that the host is up; those that were told are not told again."""
        telling = self._hooks.of("host_started")
        self._started.update(set(self._packs) - {told.distribution for told in telling})
        for implementation in telling:
            if implementation.distribution not in self._started:
                await self._tell(implementation)
                # Noted one by one: a start that is cut off still stops who was told.
                self._started.add(implementation.distribution)

    async def stopping(self) -> None:
        """Tell the packs that were told of the start, in reverse order. Safe to cancel.

        That includes those that left meanwhile: runs used what they hold until now.
        """
        leavers = [i for pack in self._left.values() for i in pack.implementations]
        telling = [*self._hooks.of("host_stopping")]
        telling += [i for i in leavers if i.hook == "host_stopping"]
        telling.sort(key=lambda i: (i.rank, i.distribution))
        for implementation in reversed(telling):
            if implementation.distribution in self._started:
                await self._tell(implementation, shield=True)
        self._started.clear()

    async def _tell(self, implementation: Implementation, *, shield: bool = False) -> None:
        name = implementation.distribution
        pack = self._packs.get(name) or self._left[name]
        try:
            function = implementation.call({"pack": pack})
            if function is None:
                return
            with anyio.move_on_after(LIFECYCLE_SECONDS, shield=shield) as scope:
                await function()
        except (Exception, SystemExit) as error:
            self._blame(implementation, f"raised {describe_error(error)}", error)
        else:
            if scope.cancelled_caught:
                self._blame(implementation, f"took longer than {LIFECYCLE_SECONDS:g} s")

    def _blame(
        self, implementation: Implementation, what: str, cause: BaseException | None = None
    ) -> None:
        reason = f"hook {implementation.hook!r} {what}"
        name = implementation.distribution
        error = PackHookError(name, reason, version=implementation.version, phase="run")
        _log.error("%s", error, exc_info=cause)
        self._catalogue.warn(name, reason)
