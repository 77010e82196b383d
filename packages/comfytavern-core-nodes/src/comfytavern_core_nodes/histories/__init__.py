"""Chat histories: read a file of any known kind into one list of messages."""

from __future__ import annotations

from .errors import HISTORY_ERROR_CODES, HistoryError, HistoryErrorCode
from .model import ChatMessage, HistoryReading
from .read import messages_from, read_history

__all__ = (
    "HISTORY_ERROR_CODES",
    "ChatMessage",
    "HistoryError",
    "HistoryErrorCode",
    "HistoryReading",
    "messages_from",
    "read_history",
)
