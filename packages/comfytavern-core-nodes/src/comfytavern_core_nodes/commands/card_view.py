"""Cards and what is odd about them, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..cards import CharacterCard
from ..cards.lint import CardLint
from ..context import estimate_tokens
from ..regexes import RegexScript, read_rule
from ..worldbooks import WorldBook, WorldBookError, world_book_from
from .columns import counted, excerpt, screen_width, table

__all__ = ("card_lines", "lint_document", "lint_lines")

_FIELDS = (
    "description",
    "personality",
    "scenario",
    "first_mes",
    "mes_example",
    "system_prompt",
    "post_history_instructions",
)
_LABEL = 12
_KEYS_SHOWN = 3


def card_lines(card: CharacterCard, file: str, size: int) -> Iterator[str]:
    """Yield a summary of a card."""
    yield card.name
    kind = f"{card.spec} {card.spec_version}".rstrip()
    yield f"{file}: card {kind}, {_size(size)}"
    facts = [*_facts(card)]
    if facts:
        yield ""
        width = screen_width() - _LABEL - 4
        yield from (f"  {name:<{_LABEL}}{excerpt(text, width)}" for name, text in facts)
    yield ""
    rows = [
        (name, f"{len(text):,}", f"~{estimate_tokens(text):,}", text) for name, text in _texts(card)
    ]
    yield from table(("field", "characters", "tokens", "text"), rows, right=(1, 2))
    yield from _book_lines(card)
    yield from _script_lines(card)


def lint_lines(file: str, found: CardLint) -> Iterator[str]:
    """Yield what is odd about a file: a line about it, and one for each finding."""
    if not found.findings:
        yield f"{file}: no problems"
        return
    counts = []
    for level in ("error", "warning", "note"):
        number = sum(finding.level == level for finding in found.findings)
        if number:
            counts.append(counted(number, level))
    read = "" if found.reading is not None else "cannot be read; "
    yield f"{file}: {read}{', '.join(counts)}"
    # Whole, however narrow the screen: a reason that is cut short helps nobody.
    width = max(len(finding.path) for finding in found.findings)
    for finding in found.findings:
        place = f"{finding.path:<{min(width, 60)}}  " if width else ""
        yield f"  {finding.level:<7}  {place}{finding.reason}"


def lint_document(file: str, found: CardLint) -> dict[str, object]:
    """Return what is odd about a file as JSON."""
    findings = [
        {"level": finding.level, "path": finding.path, "reason": finding.reason}
        for finding in found.findings
    ]
    return {"file": file, "readable": found.reading is not None, "findings": findings}


def _facts(card: CharacterCard) -> Iterator[tuple[str, str]]:
    version = f", version {card.character_version}" if card.character_version else ""
    facts = {
        "nickname": card.nickname,
        "creator": f"{card.creator or 'unknown'}{version}" if card.creator or version else "",
        "tags": ", ".join(card.tags),
        "world": card.world or "",
        "notes": card.creator_notes,
        "extensions": ", ".join(card.extensions),
        "other keys": ", ".join(card.unknown),
    }
    yield from ((name, text) for name, text in facts.items() if text)


def _texts(card: CharacterCard) -> Iterator[tuple[str, str]]:
    values: Mapping[str, object] = card.model_dump()
    yield from ((name, str(values[name])) for name in _FIELDS if values[name])
    for number, text in enumerate(card.alternate_greetings, 1):
        yield f"greeting {number}", text
    for number, text in enumerate(card.group_only_greetings, 1):
        yield f"group greeting {number}", text
    if card.depth_prompt is not None:
        own = card.depth_prompt
        yield f"depth prompt ({own.role}, {own.depth})", own.prompt


def _book_lines(card: CharacterCard) -> Iterator[str]:
    if card.character_book is None:
        return
    try:
        book = world_book_from(card.character_book, "character_book").book
    except WorldBookError as error:
        yield ""
        yield f"world book: not usable, {error.reason}"
        return
    yield ""
    count = counted(len(book.entries), "entry", "entries")
    yield f"world book {book.name!r}: {count}" if book.name else f"world book: {count}"
    if book.entries:
        yield from table(("entry", "title", "keys", "text"), _entry_rows(book), most=(0, 24, 36, 0))


def _entry_rows(book: WorldBook) -> Iterator[tuple[str, str, str, str]]:
    for entry in book.entries:
        shown = ", ".join(entry.key[:_KEYS_SHOWN])
        more = len(entry.key) - _KEYS_SHOWN
        keys = "always" if entry.constant else f"{shown} +{more}" if more > 0 else shown
        yield str(entry.uid), entry.comment, "off" if entry.disable else keys, entry.content


def _script_lines(card: CharacterCard) -> Iterator[str]:
    if not card.regex_scripts:
        return
    yield ""
    yield f"regex scripts: {len(card.regex_scripts)}"
    rows = []
    for number, value in enumerate(card.regex_scripts):
        try:
            script = read_rule(value, f"script {number}")
        except ValueError as error:
            rows.append((f"script {number}", "not usable", str(error)))
            continue
        if isinstance(script, RegexScript):
            rows.append((script.name, "on" if script.enabled else "off", script.find))
    yield from table(("name", "state", "finds"), rows, most=(32, 0, 0))


def _size(size: int) -> str:
    return f"{size} bytes" if size < 1000 else f"{size / 1000:,.1f} kB"
