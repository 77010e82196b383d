"""Tracebacks of packs, as they may be shown to anybody: module paths, none of the machine's."""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path
from types import TracebackType

__all__ = ("shown_traceback",)

# What stands between the host and a pack's own first frame.
_OURS = ("comfytavern.", "anyio.")
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
MOST_FRAMES = 12
MOST_TEXT = 8000


def shown_traceback(exc: BaseException) -> str:
    """Return the traceback of an exception and what led to it, from the pack's own frames on.

    A file is named by its module (``my_pack/nodes.py``), so that nothing is said of where
    the host keeps its files.
    """
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(_frames(current.__traceback__))
        head = "Traceback (most recent call last):\n" if frames else ""
        parts.append(head + frames + _last_lines(current))
        cause, context = current.__cause__, current.__context__
        current = cause or (None if current.__suppress_context__ else context)
        if current is not None and id(current) not in seen:
            parts.append(_CAUSE if cause else _CONTEXT)
    return "".join(reversed(parts))[-MOST_TEXT:]


def _frames(trace: TracebackType | None) -> list[str]:
    lines: list[str] = []
    for frame, line in traceback.walk_tb(trace):
        module = str(frame.f_globals.get("__name__", "?"))
        if module.partition(".")[0] == "importlib" or (not lines and module.startswith(_OURS)):
            continue
        code = frame.f_code
        file = _shown_file(module, code.co_filename)
        text = f'  File "{file}", line {line}, in {code.co_name}\n'
        source = linecache.getline(code.co_filename, line, frame.f_globals).strip()
        lines.append(text + (f"    {source}\n" if source else ""))
    return lines[-MOST_FRAMES:]


def _shown_file(module: str, file: str) -> str:
    name = Path(file).name
    package = module if Path(file).stem == "__init__" else module.rpartition(".")[0]
    return "/".join([*package.split("."), name]) if package else name


def _last_lines(exc: BaseException) -> str:
    shown = traceback.TracebackException(type(exc), exc, None)
    if isinstance(exc, SyntaxError) and exc.filename:
        shown.filename = Path(exc.filename).name
    return "".join(shown.format_exception_only())
