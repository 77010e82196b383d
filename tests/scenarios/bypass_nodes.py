"""The test node types of ``specs/engine-behaviour.md`` for what a bypassed node hands on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import cast

from comfytavern.chunks import Chunk, Outputs, Stream
from comfytavern.context import NodeContext
from comfytavern.definitions import (
    BypassBehavior,
    Execute,
    InputDefinition,
    NodeDefinition,
    OutputDefinition,
)

from .slots import give, take
from .stream_nodes import collect

__all__ = ("BYPASS_NODES",)


async def _executed(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    return {"out": "executed"}


async def _text_of(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    collected = await collect(inputs, context)
    return {"out": collected["text"]}


async def _relay(
    inputs: Mapping[str, object], context: NodeContext
) -> AsyncGenerator[Chunk | Outputs, None]:
    async for chunk in cast("Stream", inputs["in"]):
        yield chunk


async def _to_stream(
    inputs: Mapping[str, object], context: NodeContext
) -> AsyncGenerator[Chunk | Outputs, None]:
    yield Chunk.text(str(inputs["in"]))


def _node(
    type_name: str,
    inputs: dict[str, InputDefinition],
    outputs: dict[str, OutputDefinition],
    bypass: BypassBehavior | None = None,
    execute: Execute = _executed,
) -> NodeDefinition:
    return NodeDefinition(
        type=type_name, inputs=inputs, outputs=outputs, bypass_behavior=bypass, execute=execute
    )


def _pass(**slots: str) -> BypassBehavior:
    return BypassBehavior(pass_through=slots)


_IN, _OUT = {"in": take("S")}, {"out": give("S")}
_TEXT_AND_NUMBER = _OUT | {"n": give("I")}
_STREAM_IN, _STREAM_OUT = {"in": take("S~")}, {"out": give("S~")}
# Every pair of types that a case converts.
_PAIRS = "I_F F_I I_S S_I F_S S_F B_S S_B B_I W_O O_W C_A O_S"

BYPASS_NODES = (
    NodeDefinition(
        type="ByMute", inputs=_IN, outputs=_OUT, bypass_behavior="mute", execute=_executed
    ),
    _node(
        "ByPass",
        {"x": take("S"), "y": take("S")},
        _OUT | {"other": give("I")},
        _pass(out="y"),
    ),
    _node(
        "ByDefaults",
        _IN,
        _TEXT_AND_NUMBER | {"flag": give("B")},
        BypassBehavior(defaults={"out": "DEF", "n": 5}),
    ),
    _node(
        "ByBoth",
        _IN,
        _TEXT_AND_NUMBER,
        BypassBehavior(pass_through={"out": "in"}, defaults={"out": "DEF", "n": 5}),
    ),
    _node(
        "ByBadPass",
        {"in": take("O")},
        _OUT,
        BypassBehavior(pass_through={"out": "in"}, defaults={"out": "DEF"}),
    ),
    _node("ByRequired", {"x": take("S!")}, _OUT, _pass(out="x")),
    _node("ByStreamPass", _STREAM_IN, _STREAM_OUT, _pass(out="in"), execute=_relay),
    _node(
        "ByAuto",
        {"s": take("S"), "i": take("I"), "f": take("F")},
        {
            "of": give("F"),
            "os": give("S"),
            "oi": give("I"),
            "ob": give("B"),
            "oa": give("A"),
            "oo": give("O"),
            "ow": give("W"),
        },
    ),
    *(
        _node(f"By_{pair}", {"in": take(pair[0])}, {"out": give(pair[2])})
        for pair in _PAIRS.split()
    ),
    _node(
        "ByCategory",
        {
            "o": take("O", categories=("Other",)),
            "h": take("O", categories=("ChatHistory",)),
        },
        {"out": give("A", categories=("ChatHistory", "Json"))},
    ),
    _node(
        "ByWildCat",
        {"o": take("O")},
        {"out": give("A", categories=("BehaviorWildcard",))},
    ),
    _node("ByStream", _STREAM_IN, _STREAM_OUT, execute=_relay),
    _node("ByMixed", _STREAM_IN, _OUT, execute=_text_of),
    _node("ByMixedRev", _IN, _STREAM_OUT, execute=_to_stream),
)
