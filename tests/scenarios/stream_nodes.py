"""The test node types of ``specs/engine-behaviour.md`` that write or read streams, and Modes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

from comfytavern.chunks import Chunk, Outputs, Stream
from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition, NodeMode
from comfytavern.errors import StreamBrokenError

from .batch_nodes import clock_of
from .slots import give, take

__all__ = ("STREAM_NODES", "collect", "upper")

Inputs = Mapping[str, object]
Chunks = AsyncGenerator[Chunk | Outputs, None]
txt = Chunk.text


async def _words(inputs: Inputs, context: NodeContext) -> Chunks:
    text = str(inputs["text"])
    given = cast("Mapping[str, int]", inputs)
    words = text.split(" ") if text else []
    for number, word in enumerate(words):
        if given["delay"] > 0:
            await clock_of(context).sleep(given["delay"])
        if number == given["throw_at"]:
            raise Exception("stream broke")
        yield Chunk.error("bad chunk") if number == given["error_at"] else txt(word)
    if inputs["finish"]:
        yield Chunk.finish_reason("stop")
    yield Outputs(full=text, count=len(words))


async def _count(inputs: Inputs, context: NodeContext) -> Chunks:
    total = cast("int", inputs["n"])
    for number in range(total):
        yield txt(str(number))
    yield Outputs(total=total)


async def _two(inputs: Inputs, context: NodeContext) -> Chunks:
    total = cast("int", inputs["n"])
    for number in range(total):
        yield txt(f"c{number}")
    yield Outputs(total=total)


async def _stuck(inputs: Inputs, context: NodeContext) -> Chunks:
    yield txt("first")
    await clock_of(context).sleep(cast("int", inputs["hang_ms"]))
    yield txt("late")


async def upper(inputs: Inputs, context: NodeContext) -> Chunks:
    """Relay a stream with its text in upper case."""
    joined = ""
    async for chunk in cast("Stream", inputs["in"]):
        if chunk.type == "text_chunk":
            text = str(chunk.content).upper()
            joined += text
            yield txt(text)
        else:
            yield chunk
    yield Outputs(joined=joined)


async def _read(stream: Stream, read: list[Chunk]) -> None:
    async for chunk in stream:
        read.append(chunk)  # noqa: PERF401 - what was read counts even if the stream breaks


def _text(chunks: list[Chunk]) -> str:
    return "".join(str(chunk.content) for chunk in chunks if chunk.type == "text_chunk")


async def collect(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    """Read a stream to its end."""
    read: list[Chunk] = []
    await _read(cast("Stream", inputs["in"]), read)
    return {"text": _text(read), "n": len(read), "types": [chunk.type for chunk in read]}


async def _collect_safe(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    read: list[Chunk] = []
    error = ""
    try:
        await _read(cast("Stream", inputs["in"]), read)
    except StreamBrokenError as exc:
        error = str(exc)
    return {"text": _text(read), "error": error}


async def _ignore(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    return {"ok": True}


async def _undeclared(inputs: Inputs, context: NodeContext) -> Chunks:
    yield txt("x")
    yield txt("y")
    yield Outputs(out="final")


async def _not_a_generator(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    return {"out": "batch only"}


async def _base(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    extra = inputs.get("extra", "undefined")
    return {"text": f"base:{inputs['text']}:{extra}", "mode": context.mode}


async def _upper_mode(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    return {"text": str(inputs["text"]).upper(), "extra": inputs.get("extra", "absent")}


async def _repeat_mode(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    times = cast("int", inputs["n"])
    return {"text": str(inputs["text"]) * times, "n": times}


async def _stream_mode(inputs: Inputs, context: NodeContext) -> AsyncGenerator[Any, None]:
    for word in str(inputs["text"]).split(" "):
        yield txt(word)


_TEXT = {"text": take("S!")}
_STREAM_IN = {"in": take("S~!")}
_COLLECTED = {"text": give("S"), "n": give("I"), "types": give("A")}

_MODES = {
    "upper": NodeMode(
        inputs=_TEXT, outputs={"text": give("S"), "extra": give("S")}, execute=_upper_mode
    ),
    "repeat": NodeMode(
        inputs=_TEXT | {"n": take("I!", 2)},
        outputs={"text": give("S"), "n": give("I")},
        execute=_repeat_mode,
    ),
    "inherit": NodeMode(inputs=_TEXT),
    "stream": NodeMode(inputs=_TEXT, outputs={"words": give("S~")}, execute=_stream_mode),
}

STREAM_NODES = (
    NodeDefinition(
        type="Modes",
        mode_config_key="mode",
        default_mode_id="upper",
        modes=_MODES,
        inputs=_TEXT | {"extra": take("S", "base-extra")},
        # Rule 12: what the base returns is declared, `mode` too.
        outputs={"text": give("S"), "mode": give("S")},
        execute=_base,
    ),
    NodeDefinition(
        type="StreamWords",
        inputs=_TEXT
        | {
            "delay": take("I", 0),
            "finish": take("B", False),
            "error_at": take("I", -1),
            "throw_at": take("I", -1),
        },
        outputs={"stream": give("S~"), "full": give("S"), "count": give("I")},
        execute=_words,
    ),
    NodeDefinition(
        type="StreamCount",
        inputs={"n": take("I", 3)},
        outputs={"stream": give("S~"), "total": give("I")},
        execute=_count,
    ),
    NodeDefinition(
        type="StreamTwo",
        inputs={"n": take("I", 2)},
        outputs={"left": give("S~"), "right": give("S~"), "total": give("I")},
        execute=_two,
    ),
    NodeDefinition(
        type="StreamStuck",
        inputs={"hang_ms": take("I", 100_000)},
        outputs={"stream": give("S~")},
        execute=_stuck,
    ),
    NodeDefinition(
        type="StreamUpper",
        inputs=_STREAM_IN,
        outputs={"out": give("S~"), "joined": give("S")},
        execute=upper,
    ),
    NodeDefinition(type="Collect", inputs=_STREAM_IN, outputs=_COLLECTED, execute=collect),
    NodeDefinition(
        type="CollectSafe",
        inputs=_STREAM_IN,
        outputs={"text": give("S"), "error": give("S")},
        execute=_collect_safe,
    ),
    # Not in the specification: a collector that begins only when a plain value is there, for
    # what 089 and 107 do with an edge into a slot that Collect has not.
    NodeDefinition(
        type="CollectAfter",
        inputs=_STREAM_IN | {"after": take("W")},
        outputs=_COLLECTED,
        execute=collect,
    ),
    NodeDefinition(
        type="IgnoreStream",
        inputs={"in": take("S~")},
        outputs={"ok": give("B")},
        execute=_ignore,
    ),
    NodeDefinition(type="StreamUndeclared", outputs={"out": give("S")}, execute=_undeclared),
    NodeDefinition(
        type="StreamNotGen",
        outputs={"stream": give("S~"), "out": give("S")},
        execute=_not_a_generator,
    ),
)
