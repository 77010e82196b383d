"""Which keys stand in the texts of one pass.

The scan buffer of an entry is the newest messages down to its depth, then injected texts, then the
texts of active entries. Plain keys are looked for once per text, whatever the depths; regex keys
see whole buffers, and all of one buffer go to the matcher together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .candidates import Candidate
from .haystack import JOINER, Haystack
from .keys import SEPARATOR, Key, PatternKey
from .patterns import Pattern, PatternFault, PatternMatcher, Verdict
from .prepared import Needles, PreparedBook, add_needles, kind_of
from .why import KeyHit, Place

_Buffer = tuple[int, bool]  # its depth, and whether it has the texts of entries


def needs_search(candidate: Candidate) -> bool:
    """Say whether a candidate's keys matter: to make it a hit, or to count them in a group."""
    return candidate.always is None or bool(candidate.prepared.groups)


class _Texts:
    """Some texts with their places, in both spellings."""

    def __init__(self, texts: Sequence[str], places: Sequence[Place], joiner: str) -> None:
        self.texts = texts
        self.places = places
        self.joiner = joiner
        self._haystacks: dict[bool, Haystack] = {}

    def haystack(self, folded: bool) -> Haystack:
        if folded not in self._haystacks:
            # Each by itself, so that positions are those of the spelling that is searched.
            texts = [text.lower() for text in self.texts] if folded else self.texts
            self._haystacks[folded] = Haystack(texts, self.joiner)
        return self._haystacks[folded]


class _Index:
    """Keys that are searched in one way, and where they were found."""

    def __init__(self, folded: bool) -> None:
        self.folded = folded
        self.needles: Needles = {}
        self.found: set[str] = set()
        self.in_messages: dict[str, Place] = {}
        self.in_injections: dict[str, Place] = {}
        self.in_entries: dict[str, Place] = {}

    def search(self, texts: _Texts, found: dict[str, Place]) -> None:
        missing = (pair for text, pair in self.needles.items() if text not in found)
        hits = texts.haystack(self.folded).first(missing)
        found.update({text: texts.places[number] for text, number in hits.items()})
        self.found.update(hits)


@dataclass(slots=True)
class _PatternText:
    """A whole scan buffer, and which place begins where in it."""

    text: str
    starts: list[int]
    places: list[Place]

    def place(self, offset: int) -> Place | None:
        number = bisect_right(self.starts, offset) - 1
        return self.places[max(number, 0)] if self.places else None


class KeySearch:
    """The texts of one pass and the keys found in them.

    :param messages: what is searched of each message, the newest first
    :param count: how many messages the chat has; places count from its oldest
    """

    def __init__(
        self,
        messages: Sequence[str],
        count: int,
        injections: Sequence[str],
        matcher: PatternMatcher,
    ) -> None:
        places = [Place("message", count - 1 - back) for back in range(len(messages))]
        self._messages = _Texts(messages, places, JOINER)
        injected = [Place("injection", number) for number in range(len(injections))]
        self._injections = _Texts(injections, injected, JOINER)
        self._entries: list[_Texts] = []
        self._count = count
        self._matcher = matcher
        self._indexes: dict[tuple[bool, bool], _Index] = {}
        self._verdicts: dict[tuple[_Buffer, Pattern], KeyHit | None] = {}
        self._faults: dict[Pattern, str] = {}

    @property
    def warnings(self) -> list[str]:
        """What to tell about regex keys that gave no answer; they count as not found."""
        return [
            f"key '/{pattern}/{flags}' counts as not found: {reason}"
            for (pattern, flags), reason in self._faults.items()
        ]

    @property
    def has_entry_texts(self) -> bool:
        """Whether texts of active entries are searched."""
        return bool(self._entries)

    def open(
        self, books: Iterable[PreparedBook], live: Iterable[Candidate], defaults: tuple[bool, bool]
    ) -> None:
        """Look for all plain keys in the messages and injected texts.

        :param books: where the candidates ``live`` come from
        :param defaults: whether case is folded and only whole words count, if an entry says nothing
        """
        for book in books:
            for kind, needles in book.needles(*defaults).items():
                self._index(kind).needles.update(needles)
        for candidate in live:
            candidate.kind = kind_of(candidate.entry, *defaults)
            index = self._index(candidate.kind)
            candidate.found = index.found
            if candidate.prepared.keys is None:
                add_needles(index.needles, candidate.keys, candidate.kind)
        for index in self._indexes.values():
            index.search(self._messages, index.in_messages)
            index.search(self._injections, index.in_injections)

    def feed(self, round_number: int, entries: Iterable[Candidate]) -> None:
        """Add the texts of active entries, and look for the keys not found in such a text yet."""
        fed = list(entries)
        places = [Place("entry", round_number, candidate.ref) for candidate in fed]
        texts = _Texts([candidate.text for candidate in fed], places, "\n")
        self._entries.append(texts)
        # What buffers with entry texts gave is out of date now; the others still hold.
        self._verdicts = {key: hit for key, hit in self._verdicts.items() if not key[0][1]}
        for index in self._indexes.values():
            index.search(texts, index.in_entries)

    def match_patterns(self, keyed: Iterable[Candidate], entry_texts: bool) -> None:
        """Let the matcher answer for the regex keys of these candidates."""
        wanted: dict[_Buffer, dict[Pattern, None]] = {}
        for candidate in keyed:
            for key in (*candidate.keys.primary, *candidate.keys.secondary):
                if isinstance(key, PatternKey):
                    buffer = self._buffer(candidate.depth, entry_texts)
                    wanted.setdefault(buffer, {})[(key.pattern, key.flags)] = None
        for buffer, asked in wanted.items():
            fresh = [pattern for pattern in asked if (buffer, pattern) not in self._verdicts]
            if fresh:
                self._ask(buffer, fresh)

    def hits(
        self, candidate: Candidate, keys: Iterable[Key], entry_texts: bool
    ) -> Iterator[KeyHit]:
        """Yield where these keys of a candidate are found, in their order.

        Regex keys have the answers of the last :meth:`match_patterns`.
        """
        index = self._index(candidate.kind)
        found, folded = index.found, index.folded
        for key in keys:
            if isinstance(key, PatternKey):
                buffer = self._buffer(candidate.depth, entry_texts)
                hit = self._verdicts.get((buffer, (key.pattern, key.flags)))
                if hit is not None:
                    yield hit
                continue
            text = key.folded.text if folded else key.exact.text
            if text in found:
                place = self._place(index, text, candidate.depth, entry_texts)
                if place is not None:
                    yield KeyHit(key.text, place)

    def _place(self, index: _Index, text: str, depth: int, entry_texts: bool) -> Place | None:
        if depth <= 0:
            return None
        place = index.in_messages.get(text)
        if place is not None and place.index >= self._count - depth:
            return place
        place = index.in_injections.get(text)
        if place is None and entry_texts:
            place = index.in_entries.get(text)
        return place

    def _index(self, kind: tuple[bool, bool]) -> _Index:
        if kind not in self._indexes:
            self._indexes[kind] = _Index(folded=kind[0])
        return self._indexes[kind]

    def _buffer(self, depth: int, entry_texts: bool) -> _Buffer:
        # Depths beyond the chat are one buffer, and so are those that see nothing.
        seen = max(0, min(depth, len(self._messages.texts) or 1))
        return seen, entry_texts and bool(self._entries) and seen > 0

    def _ask(self, buffer: _Buffer, patterns: list[Pattern]) -> None:
        whole = self._pattern_text(buffer)
        verdicts = self._matcher(patterns, whole.text)
        for pattern, verdict in zip(patterns, verdicts, strict=True):
            self._verdicts[(buffer, pattern)] = self._hit(pattern, verdict, whole)

    def _hit(self, pattern: Pattern, verdict: Verdict, whole: _PatternText) -> KeyHit | None:
        if isinstance(verdict, PatternFault):
            self._faults.setdefault(pattern, verdict.reason)
            return None
        if verdict is None:
            return None
        return KeyHit(f"/{pattern[0]}/{pattern[1]}", whole.place(verdict))

    def _pattern_text(self, buffer: _Buffer) -> _PatternText:
        depth, entry_texts = buffer
        if depth == 0:
            return _PatternText("", [], [])
        pairs = [
            *zip(self._messages.texts[:depth], self._messages.places, strict=False),
            *zip(self._injections.texts, self._injections.places, strict=True),
        ]
        joined = [JOINER + text for text, _ in pairs]
        places = [place for _, place in pairs]
        for texts in self._entries if entry_texts else ():
            joined += [
                (texts.joiner if number else JOINER) + text
                for number, text in enumerate(texts.texts)
            ]
            places += texts.places
        starts: list[int] = []
        # The buffer begins with the separator alone, so its first line break is cut off again.
        length = -1
        for text in joined:
            starts.append(length)
            length += len(text)
        return _PatternText("".join(joined)[1:] or SEPARATOR, starts, places)
