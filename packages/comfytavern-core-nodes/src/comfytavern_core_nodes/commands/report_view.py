"""The report of a context, for people: lore, costs, what was left out, whose words these are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .columns import counted, screen_width, table

__all__ = ("report_lines",)

Json = dict[str, Any]  # Any: the report is JSON

_STEP = re.compile(r"round (\d+): ([^(]*[^( ])(?: \((.*)\))?", re.DOTALL)
_CHAT_MESSAGE = re.compile(r"\bin message (\d+)")
_ALWAYS = "always (constant)"
# These two are everywhere; to point at each of them says nothing.
_NAMES = ("char", "user")
_PLAIN = {
    "user_message": "the message",
    "note": "author's note",
    "persona": "persona",
    "chat": "chat",
    "unknown": "unknown",
}


class Stretch(NamedTuple):
    """Neighbouring spans of one origin: who wrote them, and the macros among them."""

    origin: str
    text: str
    macros: tuple[str, ...]


def report_lines(report: Json, messages: Sequence[Json]) -> Iterator[str]:
    """Yield the report as text, the messages with it."""
    yield from _lore_lines(report["world_info"])
    yield from _token_lines(report["tokens"])
    yield from _dropped_lines(report["dropped"])
    for number, warning in enumerate(report["warnings"]):
        if not number:
            yield ""
            yield "warnings"
        yield f"  {warning}"
    yield from _message_lines(report["messages"], messages)


def _lore_lines(lore: Json) -> Iterator[str]:
    entries: list[Json] = lore.get("entries", [])
    if not entries:
        yield "world books: none is connected"
        return
    fired = sum(entry["active"] for entry in entries)
    full = ", which ran out" if lore["overflowed"] else ""
    yield (
        f"world books: {fired} of {counted(len(entries), 'entry', 'entries')} fired in"
        f" {counted(len(lore['rounds']), 'round')},"
        f" {lore['used']:,} of {counted(lore['budget'], 'token')}{full}"
    )
    rows = (_lore_row(entry) for entry in sorted(entries, key=_fired_first))
    heads = ("fired", "round", "tokens", "entry", "title", "why")
    width = screen_width()
    most = (0, 0, 0, width // 5, width // 4)
    yield from table(heads, rows, right=(1, 2), most=most, wrapped=True)
    if any(_CHAT_MESSAGE.search(entry["steps"][-1]) for entry in entries):
        yield "  chat #0 is the oldest message of the chat; hidden ones do not count"


def _fired_first(entry: Json) -> tuple[bool, int]:
    return not entry["active"], entry["round"] if entry["active"] else 0


def _lore_row(entry: Json) -> tuple[str, ...]:
    active = entry["active"]
    return (
        "yes" if active else "no",
        str(entry["round"]) if active else "",
        f"{entry['tokens']:,}" if active else "",
        entry["entry"],
        entry["comment"],
        _reason(entry),
    )


def _reason(entry: Json) -> str:
    """Say what decided: for an active entry what it fired by, else what stopped it."""
    found = _STEP.fullmatch(entry["steps"][-1])
    if found is None:
        return str(entry["steps"][-1])
    # Numbers of messages in the chat are not those of the messages that are sent.
    outcome, details = found[2], _CHAT_MESSAGE.sub(r"in chat #\1", found[3] or "")
    if not entry["active"]:
        return f"{outcome}: {details}" if details else outcome
    return _ALWAYS if details == "constant" else details or outcome


def _token_lines(tokens: Json) -> Iterator[str]:
    yield ""
    yield (
        f"tokens: {tokens['used']:,} of {tokens['budget']:,} (context {tokens['max_context']:,},"
        f" reply {tokens['max_tokens']:,})"
    )
    parts = [part for part in tokens["parts"] if part["tokens"]]
    whole = sum(part["tokens"] for part in parts) or 1
    rows = (
        (
            f"{part['tokens']:,}",
            f"{part['tokens'] / whole:.0%}",
            str(part["messages"]),
            part["part"],
        )
        for part in sorted(parts, key=lambda part: -part["tokens"])
    )
    yield from table(("tokens", "share", "messages", "part"), rows, right=(0, 1, 2))


def _dropped_lines(dropped: Iterable[Json]) -> Iterator[str]:
    rows = []
    for each in dropped:
        details = []
        if "first" in each:
            details.append(f"messages {each['first']} to {each['last']} of the history")
        counts = [name for name in ("messages", "blocks", "tokens") if name in each]
        details += (counted(each[name], name.removesuffix("s")) for name in counts)
        rows.append((each["part"], ", ".join([each["reason"], *details])))
    if rows:
        yield ""
        yield "left out"
        yield from table(("part", "why"), rows, most=(40,), wrapped=True)


def _message_lines(reports: Sequence[Json], messages: Sequence[Json]) -> Iterator[str]:
    yield ""
    yield f"messages: {len(reports)}"
    rows: list[tuple[str, ...]] = []
    for told, message in zip(reports, messages, strict=True):
        head = (str(told["index"]), told["role"], f"{told['tokens']:,}")
        speaker = f" as {told['name']}" if told.get("name") else ""
        content = message["content"]
        if isinstance(content, list):
            rows.append((*head, "history", f"[{counted(len(content), 'part')}, not only text]"))
            continue
        for stretch in _stretches(told["spans"], content or ""):
            macros = f" + {', '.join(stretch.macros)}" if stretch.macros else ""
            rows.append((*head, stretch.origin + macros + speaker, stretch.text))
            head, speaker = ("", "", ""), ""
        if head[0]:
            rows.append((*head, "", "(empty)"))
    heads = ("#", "role", "tokens", "from", "text")
    yield from table(heads, rows, right=(0, 2), most=(0, 0, 0, screen_width() * 2 // 5))


def _stretches(spans: Iterable[Json], content: str) -> Iterator[Stretch]:
    """Join neighbours of one origin; line breaks between texts belong to what stands before."""
    origin, start, end = "", 0, 0
    macros: dict[str, None] = {}
    for span in spans:
        root = span
        while root["kind"] == "macro" and "within" in root:
            root = root["within"]
        named = origin if root["kind"] == "separator" and origin else _named(root)
        if named != origin and end > start:
            yield Stretch(origin, content[start:end], tuple(macros))
            start, macros = span["start"], {}
        origin, end = named, span["end"]
        if span["kind"] == "macro" and span["name"] not in _NAMES:
            macros[f"{{{{{span['name']}}}}}"] = None
    if end > start:
        yield Stretch(origin, content[start:end], tuple(macros))


def _named(origin: Json) -> str:
    kind, name, label = origin["kind"], origin.get("name", ""), origin.get("label", "")
    if kind == "regex":
        inner = f" in {_named(origin['within'])}" if "within" in origin else ""
        return f"regex rules{inner}"
    if kind == "history":
        return f"history {name} ({label})" if label else f"history {name}"
    if kind == "book":
        return f"book {label or name}"
    if kind == "macro":
        return f"macro {name}"
    if kind in ("card", "preset"):
        return f"{kind} {name}"
    return str(_PLAIN.get(kind, kind))
