"""What is logged, on stderr beside everything else that the command says."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from ..console import Console

__all__ = ("announce", "logging_to", "set_level")

_OURS = ("comfytavern", "comfytavern_hostapp")
_SERVER = "comfytavern.server"
_OF_PACKS = "comfytavern.packs."


class _Handler(logging.Handler):
    """Writes records through the console, which knows what else is on the screen."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.as_json = False

    def emit(self, record: logging.LogRecord) -> None:
        if _is_told_with_its_place(record):
            return
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # a pack's own slip in its log call
            text = str(record.msg)
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        if self.as_json:
            self.console.say(json.dumps(_fields(record, text)))
            return
        source = _source(record)
        label = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        if label == "error":
            self.console.error(source + text)
        elif label == "warning":
            self.console.warning(source + text)
        else:
            self.console.say(f"{label}: {source}{text}", "dim")


def _is_told_with_its_place(record: logging.LogRecord) -> bool:
    """Tell whether this is about a pack's settings: ``Session.open_host`` says the line, too."""
    error = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return getattr(error, "code", None) == "pack_settings"


def _source(record: logging.LogRecord) -> str:
    """Say who speaks, where that is not the host itself."""
    node = getattr(record, "node_id", None)
    if node is not None:
        return f"node {node!r}: "
    if record.name.startswith(_OF_PACKS):
        return f"pack {record.name.removeprefix(_OF_PACKS)!r}: "
    return "" if record.name.split(".")[0] in _OURS else f"{record.name}: "


def _fields(record: logging.LogRecord, text: str) -> dict[str, object]:
    fields: dict[str, object] = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": text,
    }
    named = {"runId": "run_id", "nodeId": "node_id", "url": "url"}
    found = {key: getattr(record, name, None) for key, name in named.items()}
    return fields | {key: value for key, value in found.items() if value is not None}


@contextmanager
def logging_to(console: Console) -> Iterator[None]:
    """Send what is logged to the console while a command runs."""
    root, handler = logging.getLogger(), _Handler(console)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def set_level(level: str, log_format: str | None = None) -> None:
    """Set how much is logged, and in which format (``text`` or ``json``)."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    if log_format is not None:
        for handler in root.handlers:
            if isinstance(handler, _Handler):
                handler.as_json = log_format == "json"


def announce(text: str, **fields: object) -> None:
    """Say something that is no matter of level: a plain line, or a record among the records.

    :param fields: for the record
    """
    record = logging.makeLogRecord(
        {
            "name": _SERVER,
            "levelno": logging.INFO,
            "levelname": "INFO",
            "msg": text.strip(),
            **fields,
        }
    )
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            if handler.as_json:
                handler.handle(record)
            else:
                handler.console.say(text)
