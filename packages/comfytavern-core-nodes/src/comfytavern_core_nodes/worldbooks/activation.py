"""One activation pass: which entries of some books a chat brings up, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .budget import TokenBudget, budget_of, estimate_tokens
from .candidates import BookUse, Candidate, candidates
from .gates import KeyRing, admit
from .keys import BLANKS
from .patterns import PatternMatcher
from .placement import Placement, Rewrite, placed
from .rounds import Limits, Round, Rounds
from .search import KeySearch
from .settings import DEFAULT_SCAN_DEPTH, MAX_SCAN_DEPTH, ScanSettings
from .timed import TimedEffects
from .why import EntryRecord


@dataclass(frozen=True, slots=True)
class ScanMessage:
    """A visible message as it is searched: macros in it are not substituted."""

    name: str
    text: str


def _unchanged(text: str) -> str:
    return text


def _not_rewritten(text: str, depth: int | None) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Tools:
    """What a pass calls.

    :param random: draws a number from 0 up to 1
    :param match: the regex engine
    :param count_tokens: never counts a joined text higher than its parts
    :param macros: substitutes macros in keys and contents
    :param rewrite: regex scripts for world info, applied to texts that are active
    """

    random: Callable[[], float]
    match: PatternMatcher
    count_tokens: Callable[[str], int] = estimate_tokens
    macros: Callable[[str], str] = _unchanged
    rewrite: Rewrite = _not_rewritten


@dataclass(frozen=True, slots=True)
class Scene:
    """What a pass looks at.

    :param messages: the visible messages, the oldest first; hidden ones are left out by the caller
    :param max_context: the tokens of the context without those reserved for the reply
    :param injections: further texts to search: a note with "allow scan", a persona at depth
    :param character: the file name of the card without extension, for filters by name
    :param state: the timed effects that the last pass of this chat gave
    """

    books: Sequence[BookUse]
    messages: Sequence[ScanMessage]
    max_context: int
    injections: Sequence[str] = ()
    character: str = ""
    state: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ActiveEntry:
    """An active entry; ``text`` has its macros substituted and no scripts applied."""

    ref: str
    text: str
    tokens: int
    round: int


@dataclass(frozen=True, slots=True)
class Activation:
    """What a pass gives.

    :param active: the active entries in the order of their activation
    :param records: why, for every entry of every book, in the order of consideration
    :param state: the timed effects, to hand in at the chat's next turn
    """

    active: tuple[ActiveEntry, ...]
    placement: Placement
    records: tuple[EntryRecord, ...]
    state: dict[str, object]
    rounds: tuple[Round, ...]
    budget: int
    overflowed: bool
    warnings: tuple[str, ...]


def activate(scene: Scene, settings: ScanSettings, tools: Tools) -> Activation:
    """Run one pass. Synchronous and without state: the same scene and random give the same.

    Takes time with entries times searched text; keep it off an event loop.
    """
    entries = candidates(scene.books, settings.insertion_strategy)
    length = len(scene.messages)
    effects = TimedEffects(scene.state, entries, length)
    live = admit(entries, scene.character, length)
    KeyRing(tools.macros, tools.match).hand_out(live)
    search = _search(scene, settings, live, tools.match)
    budget = budget_of(scene.max_context, settings.budget_percent, _cap(scene.books, settings))
    rounds = Rounds(
        live,
        search,
        TokenBudget(budget, tools.count_tokens),
        _limits(scene, settings),
        settings,
        random=tools.random,
        macros=tools.macros,
    )
    if entries:
        rounds.run()
    effects.remember(rounds.active)
    return Activation(
        active=tuple(_active(*pair) for pair in rounds.active.items()),
        placement=placed(list(rounds.active), tools.rewrite),
        records=tuple(candidate.record() for candidate in entries),
        state=effects.state(),
        rounds=tuple(rounds.rounds),
        budget=budget,
        overflowed=rounds.overflowed,
        warnings=(
            *effects.warnings,
            *_filter_warnings(scene.books),
            *search.warnings,
            *rounds.warnings,
        ),
    )


def _active(candidate: Candidate, tokens: int) -> ActiveEntry:
    return ActiveEntry(candidate.ref, candidate.text, tokens, candidate.steps[-1].round)


def _search(
    scene: Scene, settings: ScanSettings, live: Sequence[Candidate], match: PatternMatcher
) -> KeySearch:
    deepest = MAX_SCAN_DEPTH if settings.min_activations > 0 else 0
    for candidate in live:
        own = candidate.entry.scanDepth
        candidate.depth = _depth(settings, candidate.use) if own is None else own
        deepest = max(deepest, candidate.depth)
    seen = min(deepest, MAX_SCAN_DEPTH)
    newest = list(reversed(scene.messages[-seen:])) if seen else []
    texts = [_searched(message, settings.include_names) for message in newest]
    search = KeySearch(texts, len(scene.messages), scene.injections, match)
    defaults = (not settings.case_sensitive, settings.match_whole_words)
    search.open((use.book for use in scene.books), live, defaults)
    return search


def _searched(message: ScanMessage, include_names: bool) -> str:
    named = f"{message.name}: {message.text}" if include_names and message.name else message.text
    return named.strip(BLANKS)


def _limits(scene: Scene, settings: ScanSettings) -> Limits:
    if isinstance(settings.recursive, bool):
        recursive = settings.recursive
    else:
        recursive = any(use.book.book.recursive_scanning is not False for use in scene.books)
    return Limits(
        # The book that sees least: looking deeper ends only when every book sees the whole chat.
        depth=min((_depth(settings, use) for use in scene.books), default=0),
        recursive=recursive,
        messages=len(scene.messages),
        levels=tuple(sorted(frozenset().union(*(use.book.levels for use in scene.books)))),
    )


def _depth(settings: ScanSettings, use: BookUse) -> int:
    """Return how many messages are searched for a book; below zero is as much as zero.

    Going deeper step by step would otherwise take as many rounds as the number is negative.
    """
    if isinstance(settings.scan_depth, int):
        return max(0, settings.scan_depth)
    own = use.book.book.scan_depth
    return DEFAULT_SCAN_DEPTH if own is None else max(0, own)


def _cap(uses: Sequence[BookUse], settings: ScanSettings) -> int:
    if isinstance(settings.budget_cap, int):
        return settings.budget_cap
    own = [use.book.book.token_budget or 0 for use in uses]
    return sum(own) if all(own) else 0


def _filter_warnings(uses: Sequence[BookUse]) -> list[str]:
    count = sum(use.book.tag_filters for use in uses)
    return [f"filters by tags are not applied: {count} entries have one"] if count else []
