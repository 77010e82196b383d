"""JavaScript regular expressions, written anew for the ``regex`` package.

One pass over the pattern, without recursion: what is open stands on a stack. Whatever a pattern
costs when its counts are written out is known here, before anything is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .charsets import ANYTHING, LINE_END, CharSet, merged, written_point
from .errors import RegexError
from .escapes import Mode, Source, is_high, is_low, point_escape
from .folding import closed, peers
from .groups import GroupNames, group_names, taken_name
from .items import Group, GroupKind, Item, assertion, boundary, counted, half_pairs
from .limits import MAX_GROUP_DEPTH, MAX_PATTERN
from .sets import parsed_class

__all__ = ("Translation", "flags_of", "translate")

_NOT_LINE_END = CharSet(LINE_END).written(negated=True)
_COUNT = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}")
_DECIMAL = re.compile(r"[1-9][0-9]*")
_OPENINGS: dict[str, GroupKind] = {
    "(?:": "plain",
    "(?=": "ahead",
    "(?!": "ahead",
    "(?<=": "behind",
    "(?<!": "behind",
}
_OPENING = re.compile(r"\((?:\?(?:[:=!]|<[=!]))?")


@dataclass(frozen=True, slots=True)
class Translation:
    """A pattern for the engine, and what the replacing needs to know of the original."""

    pattern: str
    groups: int
    names: Mapping[str, int]
    everywhere: bool
    sticky: bool


def translate(pattern: str, flags: str = "") -> Translation:
    """Write a JavaScript pattern for the ``regex`` package; the result needs no flags.

    :raises RegexError: JavaScript refuses the pattern or the flags, or they are too much for us
    """
    mode, everywhere, sticky = flags_of(flags)
    if len(pattern) > MAX_PATTERN:
        raise RegexError("pattern_too_large", f"it has more than {MAX_PATTERN} characters")
    names = group_names(pattern)
    mode = replace(mode, named=bool(names.numbers))
    text = _Translator(pattern, mode, names).whole()
    return Translation(text, names.count, names.numbers, everywhere, sticky)


def flags_of(flags: str) -> tuple[Mode, bool, bool]:
    """Return what flags mean for the pattern, and whether they hold ``g`` and ``y``.

    :raises RegexError: a flag is unknown, repeated, or ``v``
    """
    if "v" in flags:
        raise RegexError("unsupported", "the flag v (sets of sets) is not supported")
    for place, flag in enumerate(flags):
        if flag not in "dgimsuy" or flag in flags[:place]:
            reason = f"the flags {flags!r} are not each one of d g i m s u y, and only once"
            raise RegexError("bad_flags", reason)
    mode = Mode("i" in flags, "m" in flags, "s" in flags, "u" in flags)
    return mode, "g" in flags, "y" in flags


class _Translator:
    def __init__(self, pattern: str, mode: Mode, names: GroupNames) -> None:
        self._source = Source(pattern)
        self._mode = mode
        self._names = names
        self._opened = 0
        self._stack = [Group("plain", "", 0)]

    def whole(self) -> str:
        """Read the pattern to its end and return the translation."""
        source = self._source
        while letter := source.peek():
            match letter:
                case "(":
                    self._open()
                case ")":
                    self._close()
                case "|":
                    source.pos += 1
                    self._stack[-1].end_alternative()
                case "*" | "+" | "?" | "{":
                    self._quantify()
                case _:
                    self._stack[-1].add(self._read_item(letter))
        root = self._stack.pop()
        if self._stack:
            raise source.fault("the group is not closed", root.position)
        root.end_alternative()
        return "|".join(root.done)

    def _read_item(self, letter: str) -> Item:
        source, mode = self._source, self._mode
        start = source.pos
        source.pos += 1
        match letter:
            case "[":
                members, negated = parsed_class(source, mode)
                return self._members(members, negated=negated)
            case "\\":
                return self._escape()
            case ".":
                return Item(CharSet(ANYTHING).written() if mode.dot_all else _NOT_LINE_END)
            case "^":
                return assertion(rf"(?<!{_NOT_LINE_END})" if mode.multiline else r"\A")
            case "$":
                return assertion(rf"(?!{_NOT_LINE_END})" if mode.multiline else r"\Z")
            case "]" | "}" if mode.unicode:
                raise source.fault(f"{letter!r} stands alone", start)
            case _:
                return self._point(ord(letter))

    def _escape(self) -> Item:
        source, mode = self._source, self._mode
        letter = source.peek()
        if letter in ("b", "B"):
            source.pos += 1
            return boundary(mode.word.written(), inside=letter == "B")
        if letter == "k" and (mode.named or mode.unicode):
            source.pos += 1
            return self._back(self._names.referred(source))
        start = source.pos
        if digits := source.take(_DECIMAL):
            # Cut before it becomes a number: a pattern may hold thousands of digits.
            number = int(digits[0][:9])
            if number <= self._names.count:
                return self._back(number)
            if mode.unicode:
                raise source.fault("a decimal escape names no group", start - 1)
            source.pos = start
        found = point_escape(source, mode)
        return self._point(found) if isinstance(found, int) else self._members(found)

    def _point(self, point: int) -> Item:
        mode = self._mode
        if not mode.unicode and (is_high(point) or is_low(point)):
            return self._members(CharSet(((point, point),)))
        family = peers(point, unicode=mode.unicode) if mode.ignore_case else (point,)
        if len(family) == 1:
            return Item(written_point(point))
        return Item(CharSet(merged((p, p) for p in family)).written())

    def _members(self, members: CharSet, *, negated: bool = False) -> Item:
        mode = self._mode
        if mode.ignore_case:
            members = closed(members, unicode=mode.unicode)
        item = Item(members.written(negated=negated))
        if not mode.unicode and not negated and not members.properties:
            item.half = half_pairs(members.ranges)
        return item

    def _back(self, number: int) -> Item:
        """Refer to a group; it matches nothing where the group has not taken part."""
        outward = any(group.kind == "behind" for group in self._stack)
        is_open = any(group.number == number for group in self._stack)
        # JavaScript forgets a group when its round begins again, so these are always unset; in a
        # look-behind, which runs from right to left, what comes later has been matched already.
        if is_open or (number > self._opened and not outward):
            return Item("(?:)")
        reference = rf"\g<{number}>"
        if self._mode.ignore_case:
            reference = f"(?i:{reference})"
        return Item(f"(?:(?({number}){reference}|))")

    def _open(self) -> None:
        source = self._source
        position = source.pos
        if len(self._stack) > MAX_GROUP_DEPTH:
            reason = f"groups are more than {MAX_GROUP_DEPTH} deep inside each other"
            raise RegexError("pattern_too_large", reason, position)
        opening = source.take(_OPENING)
        assert opening is not None, "only called where a group opens"
        kind = _OPENINGS.get(opening[0])
        if kind is not None:
            self._stack.append(Group(kind, opening[0], position))
            return
        if source.peek() == "?" and taken_name(source) is None:
            raise source.fault("no kind of group begins like this", position)
        self._opened += 1
        self._stack.append(Group("capture", "(", position, self._opened))

    def _close(self) -> None:
        source = self._source
        if len(self._stack) == 1:
            raise source.fault("')' closes no group")
        source.pos += 1
        group = self._stack.pop()
        group.end_alternative()
        item = Item(f"{group.opening}{'|'.join(group.done)})", group.size)
        if group.kind == "behind" or (group.kind == "ahead" and self._mode.unicode):
            item.quantifiable = False
        elif group.kind == "ahead":
            item.text = f"(?:{item.text})"
        self._stack[-1].add(item)

    def _quantify(self) -> None:
        source = self._source
        start, letter = source.pos, source.peek()
        count = source.take(_COUNT) if letter == "{" else None
        if letter == "{" and count is None:
            if self._mode.unicode:
                raise source.fault("the count is not complete")
            source.pos += 1
            self._stack[-1].add(self._point(ord(letter)))
            return
        items = self._stack[-1].items
        if not items or not items[-1].quantifiable:
            raise source.fault("there is nothing to repeat", start)
        item = items[-1]
        if count is None:
            source.pos += 1
            item.text += letter
        else:
            item.text += counted(item, count)
        if source.peek() == "?":
            source.pos += 1
            item.text += "?"
        item.quantifiable, item.half = False, None
