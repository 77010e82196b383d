"""A row of texts in which thousands of keys are looked for at once.

Chats repeat their words, so each word is kept once, where it appears first, and keys without
blanks are looked for among those. What no part of the vocabulary can match is told by
four bytes at either end of the key, before any search.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate

from .keys import GRAM_BYTES, NO_GRAM, SEPARATOR, Needle

JOINER = "\n" + SEPARATOR
_WORTH_INDEXING = 48
_ASCII_WORDS = re.compile("[A-Za-z0-9_]+")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


class Haystack:
    """Texts in one spelling, searched together.

    :param joiner: what stands between them where a key reaches over the end of one
    """

    def __init__(self, texts: Sequence[str], joiner: str) -> None:
        self._texts = texts
        self._joiner = joiner
        self._words, self._word_ends = _vocabulary(texts)

    def first(self, needles: Iterable[tuple[Needle, bool]]) -> dict[str, int]:
        """Return, by needle, the first of the texts that holds it; needles in none are left out.

        With each needle comes whether no ASCII letter, digit or underscore may touch it.
        """
        found: dict[str, int] = {}
        if not self._texts:
            return found
        others: list[tuple[Needle, bool]] = []
        for pair in needles:
            if not (pair[1] and pair[0].ascii_word):
                others.append(pair)
            elif (number := self._ascii_words.get(pair[0].text)) is not None:
                found[pair[0].text] = number
        if len(others) >= _WORTH_INDEXING:
            grams = self._grams
            others = [pair for pair in others if _may_stand(pair[0], grams)]
        for needle, alone in others:
            number = self._number(needle, alone)
            if number is not None:
                found[needle.text] = number
        return found

    def _number(self, needle: Needle, alone: bool) -> int | None:
        if needle.compact:
            at = _find(self._words, needle.text, alone)
            return bisect_right(self._word_ends, at) if at >= 0 else None
        at = _find(self._full, needle.text, alone)
        # The last character counts: a key with a separator inside ends in a later text.
        return bisect_right(self._text_ends, at + len(needle.text) - 1) if at >= 0 else None

    @cached_property
    def _ascii_words(self) -> dict[str, int]:
        first: dict[str, int] = {}
        start = 0
        for number, end in enumerate(self._word_ends):
            for word in _ASCII_WORDS.findall(self._words, start, end):
                first.setdefault(word, number)
            start = end
        return first

    @cached_property
    def _grams(self) -> set[int]:
        data = self._words.encode("utf-8", "surrogatepass")
        grams: set[int] = set()
        for offset in range(GRAM_BYTES):
            column = array("I")
            column.frombytes(data[offset : offset + (len(data) - offset) // 4 * 4])
            grams.update(column)
        return grams

    @cached_property
    def _full(self) -> str:
        return SEPARATOR + self._joiner.join(self._texts)

    @cached_property
    def _text_ends(self) -> list[int]:
        lengths = (len(text) + len(self._joiner) for text in self._texts)
        return list(accumulate(lengths))


def _may_stand(needle: Needle, grams: set[int]) -> bool:
    if not needle.compact:
        return all(_may_stand(piece, grams) for piece in needle.pieces)
    return needle.head == NO_GRAM or (needle.head in grams and needle.tail in grams)


def _vocabulary(texts: Sequence[str]) -> tuple[str, list[int]]:
    """Return every word of the texts once, and where the words new in each text end."""
    seen: set[str] = set()
    parts = [""]
    ends: list[int] = []
    end = 1
    for text in texts:
        fresh = set(text.split()) - seen
        seen |= fresh
        parts += fresh
        end += sum(map(len, fresh)) + len(fresh)
        ends.append(end)
    return "\n".join([*parts, ""]), ends


def _find(text: str, wanted: str, alone: bool) -> int:
    at = text.find(wanted)
    if not alone:
        return at
    while at >= 0:
        end = at + len(wanted)
        if text[at - 1 : at] not in _WORD and text[end : end + 1] not in _WORD:
            return at
        at = text.find(wanted, at + 1)
    return at
