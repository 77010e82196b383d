"""Texts that anybody may see: they do not say where this machine keeps its files."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ("HIDDEN_FOLDER", "hiding_places")

HIDDEN_FOLDER: Final = "<folder>"


def hiding_places(folders: Iterable[Path] = ()) -> Callable[[str], str]:
    """Return what takes the folders of this machine out of a text. Reads the disk.

    Paths below them become relative: those of Python and its packages, the home, the working
    and the temporary directory, and the given ones.
    """
    texts = {text for folder in _folders(folders) for text in _spellings(folder)}
    # The longest that fits, and no folder whose name merely begins like one of these.
    listed = "|".join(map(re.escape, sorted(texts, key=len, reverse=True))) or "(?!)"
    pattern = re.compile(rf"(?<![\w.~-])(?:{listed})(?:([/\\]+)|(?![\w.-]))")
    return lambda text: pattern.sub(lambda match: "" if match[1] else HIDDEN_FOLDER, text)


def _folders(given: Iterable[Path]) -> Iterator[str]:
    yield from map(str, given)
    yield from filter(None, sys.path)
    yield from (sys.prefix, sys.base_prefix, tempfile.gettempdir(), os.path.expanduser("~"))
    yield os.curdir


def _spellings(folder: str) -> Iterator[str]:
    with suppress(OSError):  # the working directory was removed
        for text in (os.path.abspath(folder), os.path.realpath(folder)):
            if Path(text).parent != Path(text):  # every path begins with the root
                yield from (text, text.replace("\\", "\\\\"))  # the latter as a repr has it
