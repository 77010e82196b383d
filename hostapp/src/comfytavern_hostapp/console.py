"""What the command line writes: results on stdout, everything else on stderr.

On a terminal three things share the screen: text that streams, messages, and one status
line. The status line is only there while the cursor stands at the start of a line and is
cleared before anything else is written, so that nothing is ever garbled. Control
characters in what comes from workflows, models and packs are shown, never sent to a
terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TextIO

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CLEAR_LINE = "\r\x1b[2K"
_STYLES = {"error": "\x1b[1;31m", "warning": "\x1b[33m", "dim": "\x1b[2m", "bold": "\x1b[1m"}
_RESET = "\x1b[0m"


class Console:
    """Both streams of a command. Safe to use from several threads."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = sys.stdout if out is None else out
        self.err = sys.stderr if err is None else err
        # Takes secrets out of whatever is written, once there are any.
        self.redact: Callable[[str], str] = str
        self._lock = threading.RLock()
        self._status = ""
        # Whether streamed text has left the cursor in the middle of a line.
        self._inside_line = False

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads the results as they are written."""
        return self.out.isatty()

    @property
    def is_live(self) -> bool:
        """Whether stdout and stderr share a screen on which a status line can be drawn."""
        return self.out.isatty() and self.err.isatty() and os.environ.get("TERM") != "dumb"

    def write(self, text: str) -> None:
        """Write a part of a result as it comes. A reader that does not read blocks this."""
        # Messages must not wait for that reader, unless both go to one screen.
        with self._lock if self.is_live else nullcontext():
            self.status("")
            text = self.redact(text)
            if text:  # before it is there: Ctrl-C may come as soon as somebody sees it
                self._inside_line = not text.endswith("\n")
            self.out.write(_visible(text) if self.out.isatty() else text)
            self.out.flush()

    def line(self, text: str = "") -> None:
        """Write one line of a result."""
        self.write(f"{text}\n")

    def end_line(self) -> None:
        """End the line that streamed text has left open."""
        if self._inside_line:
            self.write("\n")

    def json(self, document: object, *, in_one_line: bool = False) -> None:
        """Write the one document that a program reads.

        :param in_one_line: also on a terminal; for documents that come one by one
        """
        ascii_only = "utf" not in (self.out.encoding or "").lower()
        indent = 2 if self.is_terminal and not in_one_line else None
        self.line(json.dumps(document, ensure_ascii=ascii_only, indent=indent))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table: aligned on a terminal, in a pipe a line per row, parted by tabs."""
        listed = [[_visible(cell) for cell in row] for row in rows]
        if not self.is_terminal:
            for row in listed:
                self.line("\t".join(cell.replace("\n", " ").replace("\t", " ") for cell in row))
            return
        # Here, so that help and plain runs load no rich.
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in listed:
            table.add_row(*map(Text, row))
        RichConsole(file=self.out, highlight=False).print(table)

    def say(self, text: str, style: str = "") -> None:
        """Write a message to stderr."""
        self._put(text, style=style)

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self._put(text, label="error")

    def warning(self, text: str) -> None:
        """Say what is worth knowing."""
        self._put(text, label="warning")

    def _put(self, text: str, *, style: str = "", label: str = "") -> None:
        text = self.redact(text)
        if self.err.isatty():
            text = _visible(text)  # before styles: only those may hold control characters
        begin, end = self._style(style)
        mark, unmark = self._style(label)
        head = f"{mark}{label}:{unmark} " if label else ""
        with self._lock:
            self.status("")
            shared = self._inside_line and self.out.isatty() and self.err.isatty()
            if shared:
                self._inside_line = False
            with suppress(OSError, ValueError):  # nobody reads it: that must not end a run
                newline = "\n" if shared else ""
                self.err.write(f"{newline}{head}{begin}{text}{end}\n")
                self.err.flush()

    def status(self, text: str) -> None:
        """Draw the status line, or clear it if ``text`` is empty."""
        with self._lock:
            if text == self._status or (text and (self._inside_line or not self.is_live)):
                return
            begin, end = self._style("dim")
            with suppress(OSError, ValueError):
                self.err.write(
                    f"{_CLEAR_LINE}{begin}{_visible(text)}{end}" if text else _CLEAR_LINE
                )
                self.err.flush()
            self._status = text

    def flush(self) -> None:
        """Hand everything to the system, as far as it takes it."""
        for stream in (self.out, self.err):
            with suppress(OSError, ValueError):
                stream.flush()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep stdout to this console while packs' code runs: what that prints goes to stderr.

        Their child processes and C libraries write to the descriptor, so that is moved too.
        """
        original, own = sys.stdout, self.out
        moved = self._move_descriptor()
        if moved is not None:
            self.out = moved
        sys.stdout = self.err
        try:
            yield
        finally:
            sys.stdout = original
            if moved is not None:
                os.dup2(moved.fileno(), 1)
                self.out = own
                with suppress(OSError):  # nobody reads it: told where it was written
                    moved.close()

    def _move_descriptor(self) -> TextIO | None:
        try:
            if self.out.fileno() != 1:
                return None
            self.out.flush()
            copy = os.dup(1)
            os.dup2(self.err.fileno(), 1)
        except (OSError, ValueError):  # ValueError: a stream without a descriptor, as in tests
            return None
        return open(copy, "w", encoding=self.out.encoding, errors=self.out.errors)

    def _style(self, name: str) -> tuple[str, str]:
        if not name or not self.err.isatty() or "NO_COLOR" in os.environ:
            return "", ""
        return _STYLES[name], _RESET


def _visible(text: str) -> str:
    """Show control characters: sent to a terminal they could move, hide or retitle."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))
