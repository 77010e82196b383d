"""World books for a context: which ones count, one activation pass, and its texts with origins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..macros import Macros, Origin, Text
from ..presets.model import Role
from ..worldbooks import (
    Activation,
    BookUse,
    PatternMatcher,
    Piece,
    PreparedBooks,
    ScanMessage,
    ScanSettings,
    Scene,
    Tools,
    WorldBookError,
    activate,
)
from ..worldbooks.candidates import Source
from .card import DepthText
from .drafts import TokenCounter
from .journal import Journal
from .lore import Lore
from .turns import Turn

Rewrite = Callable[[str, int | None], str]

_ROLES: Mapping[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
# Keys are parsed once per book, not once per run; equal books are recognised.
_PREPARED = PreparedBooks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a pass looks at, and with what.

    :param injected: texts that are searched beside the chat
    :param tokens: the size of the context without the reply
    """

    turns: Sequence[Turn]
    injected: Sequence[str]
    character: str
    tokens: int
    macros: Macros
    count: TokenCounter
    random: Callable[[], float]
    rewrite: Rewrite
    match: PatternMatcher


def books_of(
    values: Iterable[object], card: Mapping[str, object], journal: Journal
) -> list[BookUse]:
    """Return the connected books and the card's own one, each under a name of its own.

    :raises WorldBookError: a connected book is none; a card's is left out with a warning
    """
    uses: list[BookUse] = []
    for number, value in enumerate(values, 1):
        _add(uses, value, f"book {number}", "global")
    own = card.get("character_book")
    if own is not None:
        try:
            _add(uses, own, "character book", "character")
        except WorldBookError as error:
            journal.warn(f"the card's own world book is not used: {error}")
    for use in uses:
        for problem in use.book.problems:
            journal.warn(f"world book {use.name!r}: {problem}")
    return uses


def lore_of(
    books: Sequence[BookUse], look: Look, settings: ScanSettings, state: Mapping[str, object]
) -> Lore:
    """Run one activation pass over a chat.

    :param state: what the pass of the chat's last turn gave
    """
    scene = Scene(
        books=books,
        messages=[ScanMessage(turn.name, turn.text.plain) for turn in look.turns],
        max_context=look.tokens,
        injections=look.injected,
        character=look.character,
        state=state,
    )
    tools = Tools(
        random=look.random,
        match=look.match,
        count_tokens=look.count,
        macros=look.macros.expand,
        rewrite=look.rewrite,
    )
    return _lore(activate(scene, settings, tools))


def _add(uses: list[BookUse], value: object, default: str, source: Source) -> None:
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        raise WorldBookError("not_an_object", f"it is {kind}; a world book was expected", default)
    book = _PREPARED.get(value, default)
    if any(use.book is book for use in uses):
        return  # connected twice, or the card brings what is connected anyway
    name = book.book.name or default
    taken = {use.name for use in uses}
    number = 2
    while name in taken:
        name = f"{book.book.name or default} ({number})"
        number += 1
    uses.append(BookUse(name, source, book))


def _lore(activation: Activation) -> Lore:
    placement = activation.placement
    labels = {record.ref: record.comment for record in activation.records}

    def text(pieces: Iterable[Piece]) -> Text:
        origins = ((piece.text, Origin("book", piece.ref, labels[piece.ref])) for piece in pieces)
        return Text.join("\n", [Text.of(*each) for each in origins])

    return Lore(
        before=text(placement.before),
        after=text(placement.after),
        note_top=text(placement.note_top),
        note_bottom=text(placement.note_bottom),
        examples=tuple((each.top, text([each.piece])) for each in placement.examples),
        at_depth=tuple(
            DepthText(text(each.pieces), each.depth, _ROLES[each.role])
            for each in placement.at_depth
        ),
        records=_records(activation),
        state=activation.state,
        warnings=activation.warnings,
    )


def _records(activation: Activation) -> dict[str, object]:
    tokens = {entry.ref: entry.tokens for entry in activation.active}
    return {
        "budget": activation.budget,
        "used": sum(tokens.values()),
        "overflowed": activation.overflowed,
        "rounds": [
            {
                "number": each.number,
                "scan": str(each.scan),
                "depth": each.depth,
                "active": list(each.active),
            }
            for each in activation.rounds
        ],
        "entries": [
            {**record.as_data(), "tokens": tokens.get(record.ref, 0)}
            for record in activation.records
        ],
    }
