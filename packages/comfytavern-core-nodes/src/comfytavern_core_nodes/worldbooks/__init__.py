"""World books: read a file of any known kind, and find what a chat brings up, with the reason."""

from __future__ import annotations

from .activation import (
    Activation,
    ActiveEntry,
    ScanMessage,
    Scene,
    Tools,
    activate,
)
from .budget import estimate_tokens
from .candidates import BookUse, Source
from .errors import WORLD_BOOK_ERROR_CODES, WorldBookError, WorldBookErrorCode
from .model import CharacterFilter, Problem, WorldBook, WorldBookEntry, WorldBookReading
from .patterns import InProcessMatcher, Pattern, PatternFault, PatternMatcher, Verdict
from .placement import DepthPieces, ExamplePiece, Piece, Placement, joined
from .prepared import PreparedBook, PreparedBooks, prepare
from .read import read_world_book, world_book_from
from .rounds import Round
from .settings import ScanSettings, Strategy
from .why import EntryRecord, Outcome, Step

__all__ = (
    "WORLD_BOOK_ERROR_CODES",
    "Activation",
    "ActiveEntry",
    "BookUse",
    "CharacterFilter",
    "DepthPieces",
    "EntryRecord",
    "ExamplePiece",
    "InProcessMatcher",
    "Outcome",
    "Pattern",
    "PatternFault",
    "PatternMatcher",
    "Piece",
    "Placement",
    "PreparedBook",
    "PreparedBooks",
    "Problem",
    "Round",
    "ScanMessage",
    "ScanSettings",
    "Scene",
    "Source",
    "Step",
    "Strategy",
    "Tools",
    "Verdict",
    "WorldBook",
    "WorldBookEntry",
    "WorldBookError",
    "WorldBookErrorCode",
    "WorldBookReading",
    "activate",
    "estimate_tokens",
    "joined",
    "prepare",
    "read_world_book",
    "world_book_from",
)
