"""Tracebacks of packs, as they may be shown to anybody: module paths, none of the machine's."""

from __future__ import annotations

import linecache
import traceback
from types import TracebackType

__all__ = ("shown_traceback",)

# What stands between the engine and a node's own first frame.
_OURS = ("comfytavern._node_run", "comfytavern.authoring", "anyio.")
MOST_FRAMES = 12
MOST_TEXT = 8000


def shown_traceback(exc: BaseException) -> str:
    """Return the traceback of an exception and its causes, from the node's own frames on.

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
        parts.append(head + frames + "".join(traceback.format_exception_only(current)))
        current = current.__cause__
    joined = "\nThe above exception was the direct cause of the following exception:\n\n"
    return joined.join(reversed(parts))[-MOST_TEXT:]


def _frames(trace: TracebackType | None) -> list[str]:
    lines: list[str] = []
    for frame, line in traceback.walk_tb(trace):
        module = str(frame.f_globals.get("__name__", "?"))
        if not lines and module.startswith(_OURS):
            continue
        file = module.replace(".", "/")
        text = f'  File "{file}.py", line {line}, in {frame.f_code.co_name}\n'
        source = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
        lines.append(text + (f"    {source}\n" if source else ""))
    return lines[-MOST_FRAMES:]
