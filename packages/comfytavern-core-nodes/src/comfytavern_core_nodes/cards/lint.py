"""Everything that is odd about a card file: what cannot be read, is not used, or means nothing.

Beside the card itself this looks at what it carries: its world book, its regex scripts, and the
macros in its texts. Nothing is executed; expressions are translated, never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from ..macros import Macros, Origin, Scene, Text, TextTooLongError
from ..regexes import RegexError, RegexScript, read_rule, script_regex
from ..regexes.translate import translate
from ..worldbooks import WorldBookError, WorldBookReading, world_book_from
from ..worldbooks.keys import pattern_key
from .errors import CardError
from .model import CardFinding, CardReading
from .read import card_document, read_card
from .shapes import normalised

_MACRO = re.compile(r"\{\{[^{}]{1,200}\}\}")
_MOST_SHOWN = 12
_PROMPT_FIELDS = (
    "description",
    "personality",
    "scenario",
    "first_mes",
    "mes_example",
    "system_prompt",
    "post_history_instructions",
)
# Where normalised fields stand in cards of other programs.
_OWN_NAMES = {
    "pygmalion": {
        "description": "char_persona",
        "scenario": "world_scenario",
        "first_mes": "char_greeting",
        "mes_example": "example_dialogue",
    },
    "textgen": {"description": "context", "first_mes": "greeting"},
}
_CARD_MACROS = (
    "description",
    "personality",
    "scenario",
    "persona",
    "mesexamples",
    "charprompt",
    "charinstruction",
    "charjailbreak",
    "charversion",
    "char_version",
)


@dataclass(frozen=True, slots=True)
class CardLint:
    """The card of a file, None if it cannot be read, and what there is to say about it."""

    reading: CardReading | None
    findings: tuple[CardFinding, ...]


def lint_card(data: bytes, name: str) -> CardLint:
    """Look a card file through. Every bad field is found, not only the first.

    :param name: the file's name; it helps where the content does not say what it is
    """
    findings: list[CardFinding] = []
    try:
        document, warnings = card_document(data, name)
        findings += (CardFinding("warning", "", warning) for warning in warnings)
        normalised(document, name, findings)
        reading = read_card(data, name)
    except CardError as error:
        if not any(finding.level == "error" for finding in findings):
            findings.append(CardFinding("error", "", f"{error.reason} ({error.code})"))
        return CardLint(None, tuple(findings))
    inside = "data." if reading.card.spec in ("v2", "v3") else ""
    findings += _book_findings(reading, f"{inside}character_book")
    findings += _script_findings(reading, f"{inside}extensions.regex_scripts")
    findings += _macro_findings(reading, inside)
    return CardLint(reading, tuple(findings))


def _book_findings(reading: CardReading, path: str) -> Iterator[CardFinding]:
    if reading.card.character_book is None:
        return
    try:
        book = world_book_from(reading.card.character_book, "character_book")
    except WorldBookError as error:
        yield CardFinding("warning", path, f"the book is not used: {error.reason}")
        return
    for problem in book.problems:
        yield CardFinding("warning", f"{path}.{problem.path}".rstrip("."), problem.reason)
    yield from _key_findings(book, path)
    unknown = {key for entry in book.book.entries for key in entry.model_extra or ()}
    if unknown:
        reason = f"keys of entries that have no effect here; they are kept: {_listed(unknown)}"
        yield CardFinding("note", f"{path}.entries", reason)


def _key_findings(book: WorldBookReading, path: str) -> Iterator[CardFinding]:
    for entry in book.book.entries:
        for text in (*entry.key, *entry.keysecondary):
            key = pattern_key(text.strip())
            problem = _refusal(key.pattern, key.flags) if key is not None else None
            if problem is not None:
                where = f"{path}, entry {entry.uid}"
                reason = f"key {_cut(text)!r} is looked for as plain text: {problem}"
                yield CardFinding("warning", where, reason)


def _script_findings(reading: CardReading, path: str) -> Iterator[CardFinding]:
    listed = reading.card.extensions.get("regex_scripts")
    for number, value in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(value, dict):
            continue  # told already
        where = f"{path}[{number}]"
        try:
            script = read_rule(value, f"script {number}")
        except ValueError as error:
            yield CardFinding("warning", where, f"the script is not used: {error}")
            continue
        if not isinstance(script, RegexScript):
            continue
        problem = _script_problem(script)
        if problem:
            yield CardFinding("warning", f"{where}.findRegex", problem)
        if script.enabled and script.markdown_only:
            reason = f"script {_cut(script.name)!r} changes only what is shown, never a prompt"
            yield CardFinding("note", where, reason)


def _script_problem(script: RegexScript) -> str:
    expression = script_regex(script.find)
    if expression is None:
        return "it is no expression, so the script changes nothing"
    if script.substitute and "{{" in script.find:
        return ""  # what it is depends on the chat
    problem = _refusal(*expression)
    return "" if problem is None else f"the expression cannot be used: {problem}"


def _refusal(pattern: str, flags: str) -> RegexError | None:
    try:
        translate(pattern, flags)
    except RegexError as error:
        return error
    return None


def _macro_findings(reading: CardReading, inside: str) -> Iterator[CardFinding]:
    known = Text.of("known", Origin("card"))
    scene = Scene(user="User", char="Char", fields=dict.fromkeys(_CARD_MACROS, known))
    macros = Macros(scene)
    own_names = _OWN_NAMES.get(reading.card.spec, {})
    for name, text in _texts(reading.card.model_dump()):
        path = own_names.get(name, name)
        try:
            left = _MACRO.findall(macros.expand(text, original=""))
        except TextTooLongError as error:
            yield CardFinding("warning", inside + path, str(error))
            continue
        if left:
            reason = f"macros that are not known are sent as they stand: {_listed(left)}"
            yield CardFinding("warning", inside + path, reason)


def _texts(card: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    for name in _PROMPT_FIELDS:
        yield name, str(card[name])
    greetings = card["alternate_greetings"]
    for number, text in enumerate(greetings if isinstance(greetings, list) else ()):
        yield f"alternate_greetings[{number}]", str(text)
    depth_prompt = card["depth_prompt"]
    if isinstance(depth_prompt, dict):
        yield "extensions.depth_prompt.prompt", str(depth_prompt["prompt"])


def _listed(names: Iterable[str]) -> str:
    shown = sorted(set(names))
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return ", ".join(map(_cut, shown[:_MOST_SHOWN])) + more


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
