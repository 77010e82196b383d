"""Card files that somebody named on the command line."""

from __future__ import annotations

import os

from ..cards.lint import CardLint, lint_card
from ..cards.model import CardFinding
from ..loaders.character_card import MAX_CARD_BYTES

__all__ = ("CardFileError", "card_bytes", "lint_file")


class CardFileError(Exception):
    """A file cannot be opened as a card."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"card {self.name!r} {self.reason}"


def card_bytes(name: str) -> bytes:
    """Return the content of a file, as much as a card may have.

    :raises CardFileError: it is missing, no file, not readable or too large
    """
    try:
        if os.path.isdir(name):
            raise CardFileError(name, "is a directory; expected a file")
        with open(name, "rb") as file:
            data = file.read(MAX_CARD_BYTES + 1)
    except FileNotFoundError:
        raise CardFileError(name, "does not exist") from None
    except (OSError, ValueError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise CardFileError(name, f"cannot be opened: {reason.lower()}") from exc
    if len(data) > MAX_CARD_BYTES:
        raise CardFileError(name, f"is larger than {MAX_CARD_BYTES // 1024**2} MiB")
    return data


def lint_file(name: str) -> CardLint:
    """Look a card file through; one that cannot be opened has a single finding."""
    try:
        return lint_card(card_bytes(name), name)
    except CardFileError as error:
        return CardLint(None, (CardFinding("error", "", f"the file {error.reason}"),))
