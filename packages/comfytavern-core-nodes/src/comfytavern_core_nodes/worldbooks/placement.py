"""Where the texts of active entries go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from .candidates import Candidate
from .entries import ROLES

Rewrite = Callable[[str, int | None], str]
"""Regex scripts of placement 5: a text and its depth in the chat, if it has one."""


class Position(IntEnum):
    """The positions of an entry."""

    BEFORE = 0
    AFTER = 1
    NOTE_TOP = 2
    NOTE_BOTTOM = 3
    AT_DEPTH = 4
    EXAMPLES_TOP = 5
    EXAMPLES_BOTTOM = 6
    OUTLET = 7


@dataclass(frozen=True, slots=True)
class Piece:
    """A text and the entry it comes from, ``book.uid``."""

    text: str
    ref: str


@dataclass(frozen=True, slots=True)
class ExamplePiece:
    """Example dialogue of an entry, before or after that of the card."""

    top: bool
    piece: Piece


@dataclass(frozen=True, slots=True)
class DepthPieces:
    """The texts that make one message, ``depth`` messages before the end of the chat."""

    depth: int
    role: str
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The text of the message."""
        return joined(self.pieces)


@dataclass(frozen=True, slots=True)
class Placement:
    """The texts of active entries by position, each list in the order of the prompt."""

    before: tuple[Piece, ...] = ()
    after: tuple[Piece, ...] = ()
    note_top: tuple[Piece, ...] = ()
    note_bottom: tuple[Piece, ...] = ()
    examples: tuple[ExamplePiece, ...] = ()
    at_depth: tuple[DepthPieces, ...] = ()
    outlets: dict[str, tuple[Piece, ...]] = field(default_factory=dict)

    def note(self, text: str) -> str:
        """Return an author's note with the texts of entries around it. Only for a note that is due:
        without one these texts are lost."""
        whole = f"{joined(self.note_top)}\n{text}\n{joined(self.note_bottom)}"
        return whole.removeprefix("\n").removesuffix("\n")


def joined(pieces: Iterable[Piece]) -> str:
    """Return the text of pieces that stand together."""
    return "\n".join(piece.text for piece in pieces)


def placed(active: Sequence[Candidate], rewrite: Rewrite) -> Placement:
    """Place the texts of entries, given in the order of their activation.

    A lower ``order`` comes first in a list; of equals the one that became active last.
    """
    at: dict[Position, list[Piece]] = {position: [] for position in Position}
    examples: list[ExamplePiece] = []
    depths: dict[tuple[int, str], list[Piece]] = {}
    outlets: dict[str, list[Piece]] = {}
    by_order = sorted(active, key=lambda candidate: -candidate.entry.order)
    for candidate in by_order:
        entry = candidate.entry
        text = rewrite(candidate.text, entry.depth if entry.position == Position.AT_DEPTH else None)
        if not text or entry.position not in at:
            continue
        piece = Piece(text, candidate.ref)
        at[Position(entry.position)].append(piece)
        if entry.position == Position.AT_DEPTH:
            depths.setdefault((entry.depth, ROLES[entry.role]), []).append(piece)
        elif entry.position in (Position.EXAMPLES_TOP, Position.EXAMPLES_BOTTOM):
            examples.append(ExamplePiece(entry.position == Position.EXAMPLES_TOP, piece))
        elif entry.position == Position.OUTLET and entry.outletName:
            outlets.setdefault(entry.outletName, []).append(piece)
    # Each text goes in front of those before it.
    return Placement(
        before=tuple(reversed(at[Position.BEFORE])),
        after=tuple(reversed(at[Position.AFTER])),
        note_top=tuple(reversed(at[Position.NOTE_TOP])),
        note_bottom=tuple(reversed(at[Position.NOTE_BOTTOM])),
        examples=tuple(reversed(examples)),
        at_depth=tuple(
            DepthPieces(depth, role, tuple(reversed(pieces)))
            for (depth, role), pieces in depths.items()
        ),
        outlets={name: tuple(reversed(pieces)) for name, pieces in outlets.items()},
    )
