"""``packs bisect``: which packs make something fail, found by enabling ever fewer of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .environment import Environment

__all__ = ("find_culprits", "in_order", "with_required")

Fails = Callable[[frozenset[str]], bool]


def find_culprits(packs: Sequence[str], fails: Fails) -> tuple[str, ...]:
    """Return the packs that together make something fail; nearly always that is one.

    It takes about as many tries as the packs can be halved, for each culprit. What fails with
    some packs is expected to fail with more of them, too.

    :param packs: at least one, none of which requires a later one; with all of them it fails,
        and without any it does not
    :param fails: tries it with these packs and whatever they require
    """
    culprits: list[str] = []
    upper = len(packs)
    while upper:
        passing, failing = 0, upper
        while failing - passing > 1:
            middle = (passing + failing) // 2
            if fails(frozenset((*packs[:middle], *culprits))):
                failing = middle
            else:
                passing = middle
        culprits.append(packs[failing - 1])
        upper = failing - 1
        if upper and fails(frozenset(culprits)):
            break
    return tuple(reversed(culprits))


def with_required(environment: Environment, packs: Iterable[str]) -> frozenset[str]:
    """Return the distributions and all that they require, directly or not."""
    names = frozenset(packs)
    installed = [environment.by_name[name] for name in names if name in environment.by_name]
    return names | environment.closure(each for pack in installed for each in pack.requires)


def in_order(environment: Environment, packs: Iterable[str]) -> list[str]:
    """Return the packs such that nobody requires a later one, by name where it is all one."""
    names = frozenset(packs)
    needed = {name: len(with_required(environment, [name]) & names) for name in names}
    return sorted(names, key=lambda name: (needed[name], name))
