"""A pass over world books in few words: entries in, the activation out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comfytavern_core_nodes.worldbooks import (
    Activation,
    BookUse,
    InProcessMatcher,
    ScanMessage,
    ScanSettings,
    Scene,
    Source,
    Tools,
    activate,
    prepare,
    world_book_from,
)

Entry = dict[str, Any]  # Any: the fields of an entry have many types
PLAIN = ScanSettings(scan_depth=10, recursive=False, match_whole_words=False)


def book(*entries: Entry, name: str = "b", source: Source = "global", **fields: object) -> BookUse:
    return BookUse(
        name, source, prepare(world_book_from({"entries": entries, **fields}, name).book)
    )


def never() -> float:
    raise AssertionError("a number was drawn")


def words(text: str) -> int:
    return len(text.split())


def run(
    *entries: Entry,
    chat: Sequence[str] = ("a dragon", "the king"),
    settings: ScanSettings = PLAIN,
    books: Sequence[BookUse] = (),
    random: Callable[[], float] = never,
    max_context: int = 4000,
    **scene: Any,  # Any: the other fields of a scene
) -> Activation:
    messages = [ScanMessage("", text) for text in chat]
    uses = [book(*entries), *books] if entries else list(books)
    tools = Tools(random, InProcessMatcher(), count_tokens=words)
    return activate(Scene(uses, messages, max_context, **scene), settings, tools)


def key(*keys: str, **fields: object) -> Entry:
    return {"key": list(keys), "content": "c", **fields}
