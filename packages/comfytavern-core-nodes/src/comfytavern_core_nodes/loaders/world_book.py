"""The code of WorldBookLoader; imported when such a node first runs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import PurePosixPath

from anyio import to_thread

from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..worldbooks import Problem, read_world_book

__all__ = ("load_world_book",)

MAX_BOOK_BYTES = 32 * 1024 * 1024
_LOGGED_PROBLEMS = 20


async def load_world_book(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    """Read the world book that the input or the configuration names.

    A book without a name gets that of its file: the timed effects of a chat go by it.

    :raises ValueError: neither names one
    :raises WorldBookError: the file is no usable world book; the text says why
    """
    name = _resource_name(inputs, context)
    data = await context.resources.read(name, limit=MAX_BOOK_BYTES)
    # Parsing a large file takes a while; the event loop must not wait for it.
    book, problems = await to_thread.run_sync(_plain_book, data, name)
    for problem in islice(problems, _LOGGED_PROBLEMS):
        context.log.warning("world book %r: %s", name, problem)
    if len(problems) > _LOGGED_PROBLEMS:
        more = len(problems) - _LOGGED_PROBLEMS
        context.log.warning("world book %r: %d more problems", name, more)
    return {"worldBookData": book}


def _plain_book(data: bytes, name: str) -> tuple[dict[str, object], tuple[Problem, ...]]:
    reading = read_world_book(data, name)
    book = reading.book.model_dump()
    if not book["name"]:
        book["name"] = PurePosixPath(name).stem
    return book, reading.problems


def _resource_name(inputs: Mapping[str, object], context: NodeContext) -> str:
    name = inputs.get("worldBookResource") or context.config.get("worldBookResource")
    if not name:
        raise ValueError(
            "no world book is chosen; set 'worldBookResource' in the configuration, or connect the"
            " input of that name"
        )
    if not isinstance(name, str):
        raise TypeError(
            f"'worldBookResource' is {describe_value(name)}; expected the name of a resource"
        )
    return name
