"""Measure what it takes to build a context, beside a naive scan for keys in the same process.

    python benchmarks/context.py [--rounds N]

CPU time after loading, medians of interleaved runs. Exits with 1 when a figure is above its
bound. Like the runs of a chat, each build gets values of its own that are equal to the last ones.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from measure import Run, Table, interleaved

from comfytavern_core_nodes.cards import read_card
from comfytavern_core_nodes.context import ContextRequest, ContextSettings, build_context
from comfytavern_core_nodes.histories import ChatMessage
from comfytavern_core_nodes.presets import Preset, preset_from
from comfytavern_core_nodes.worldbooks import ScanSettings, world_book_from

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ENTRIES, MESSAGES, PROMPTS = 1_000, 200, 24
KEYS_OF_ENTRY, WORDS_OF_MESSAGE = 3, 60
SYLLABLES = ("ka", "lo", "mi", "ren", "tos", "vel", "ur", "dan", "sie", "bro", "gwen", "hal")
LORE_PERCENT = 10


@dataclass(frozen=True)
class Chat:
    """What a context is made of."""

    book: Mapping[str, object]
    history: Sequence[ChatMessage]
    card: Mapping[str, object]
    preset: Preset

    def request(self) -> ContextRequest:
        """Return a request with a book of its own; all of the chat is searched and sent."""
        return ContextRequest(
            card=self.card,
            preset=self.preset,
            history=self.history,
            settings=ContextSettings(user_name="Ann", max_context=200_000),
            books=[copy.deepcopy(self.book)],
            scan=ScanSettings(scan_depth=1_000, budget_percent=LORE_PERCENT),
            random=random.Random(1).random,
        )


def words(count: int, chance: random.Random) -> list[str]:
    """Return words that look like names."""
    return ["".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))) for _ in range(count)]


def make_chat(entries: int = ENTRIES, messages: int = MESSAGES) -> Chat:
    """Return a chat in which about one entry in twenty is mentioned."""
    chance = random.Random(7)
    names = [f"{word}{number % 10}" for number, word in enumerate(words(entries * 20, chance))]
    said = words(5_000, chance)
    lore = [
        {
            "uid": number,
            "key": chance.sample(names, KEYS_OF_ENTRY),
            "content": " ".join(chance.choices(said, k=40)),
            "comment": f"entry {number}",
            "constant": number % 100 == 0,
        }
        for number in range(entries)
    ]
    mentioned = [key for entry in lore[::20] for key in _texts(entry["key"])]
    history = []
    for number in range(messages):
        text = chance.choices(said, k=WORDS_OF_MESSAGE)
        text.insert(10, mentioned[number * 7 % len(mentioned)])
        role = "assistant" if number % 2 else "user"
        history.append(ChatMessage(role, " ".join(text)))  # type: ignore[arg-type]  # a role
    book = world_book_from({"name": "Bench", "entries": lore}, "bench").book.model_dump()
    card = read_card((EXAMPLES / "characters" / "hesper.json").read_bytes(), "hesper.json").card
    return Chat(book, history, card.model_dump(), make_preset(said, chance))


def make_preset(said: Sequence[str], chance: random.Random) -> Preset:
    """Return the example's preset with many more prompts, in their places and in the chat."""
    text = (EXAMPLES / "presets" / "quiet-evening.json").read_text("utf-8")
    data = json.loads(text)
    more = [
        {
            "identifier": f"more-{number}",
            "name": f"More {number}",
            "content": " ".join(chance.choices(said, k=50)) + " {{char}} and {{user}}",
            "injection_position": number % 2,
            "injection_depth": number,
        }
        for number in range(PROMPTS)
    ]
    data["prompts"] += more
    order = data["prompt_order"][0]["order"]
    order += ({"identifier": prompt["identifier"], "enabled": True} for prompt in more)
    return preset_from(data).preset


def naive_scan(request: ContextRequest) -> int:
    """Do the least that one would write by hand: look for every key in every message, once."""
    [book] = request.books
    assert isinstance(book, dict)
    texts = [message.text.lower() for message in request.history]
    found = 0
    for entry in book["entries"]:
        keys = [key.lower() for key in entry["key"]]
        found += any(key in text for text in texts for key in keys)
    return found


def _texts(value: object) -> Iterable[str]:
    assert isinstance(value, list)
    return value


def building(chat: Chat, rounds: int) -> Run:
    """Return a run that builds a context; its requests are made beforehand."""
    requests = [chat.request() for _ in range(rounds)]

    async def build() -> None:
        context = build_context(requests.pop())
        assert context.messages

    return build


def scanning(chat: Chat) -> Run:
    """Return a run of the naive scan."""
    request = chat.request()

    async def scan() -> None:
        assert naive_scan(request)

    return scan


async def main(rounds: int) -> int:
    """Run everything and return the exit code."""
    table = Table()
    chat = make_chat()
    built = build_context(chat.request())  # the first build of a book prepares its keys
    entries = built.report["world_info"]
    assert isinstance(entries, dict)
    fired = sum(entry["active"] for entry in entries["entries"])
    gc.collect()
    gc.freeze()
    ours, naive = await interleaved(building(chat, rounds), scanning(chat), rounds)
    note = f"{fired} entries fire, {len(built.messages)} messages"
    table.row(f"ms: {ENTRIES:,} entries, {MESSAGES} messages", ours * 1e3, 30.0, note)
    note = f"{ours * 1e3:.1f} against {naive * 1e3:.1f} ms"
    table.row("against a naive scan for the keys alone", ours / naive, 1.0, note)
    for name, larger in (
        ("twice the entries", make_chat(entries=2 * ENTRIES)),
        ("twice the messages", make_chat(messages=2 * MESSAGES)),
    ):
        build_context(larger.request())
        a, b = await interleaved(building(larger, rounds), building(chat, rounds), rounds)
        table.row(name, a / b, 2.4, f"{a * 1e3:.1f} against {b * 1e3:.1f} ms")
    return int(table.failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    sys.exit(anyio.run(main, parser.parse_args().rounds))
