"""The test node types of ``specs/engine-behaviour.md`` that take and give plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from comfytavern.chunks import Stream
from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition
from comfytavern.types import ABSENT

from .clock import Clock
from .slots import give, take

__all__ = ("BATCH_NODES", "clock_of")

Inputs = Mapping[str, object]
Outputs = dict[str, object]


def clock_of(context: NodeContext) -> Clock:
    """Return the clock that the test handed to the host as a service."""
    return cast("Clock", context.services["clock"])


async def _const(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"value": inputs["value"]} if "value" in inputs else {}


async def _echo(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"out": inputs["in"]} if "in" in inputs else {}


async def _pair(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"a": 1, "b": 2}


async def _is_stream(inputs: Inputs, context: NodeContext) -> Outputs:
    value = inputs.get("in", ABSENT)
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (Stream, "stream"),
        (list, "list"),
        (bool, "boolean"),
        ((int, float), "number"),
        (str, "string"),
    )
    if value is ABSENT or value is None:
        return {"kind": "missing" if value is ABSENT else "null"}
    return {"kind": next((name for kind, name in kinds if isinstance(value, kind)), "object")}


async def _concat(inputs: Inputs, context: NodeContext) -> Outputs:
    texts = inputs["texts"]
    items = texts if isinstance(texts, list) else [texts]
    shown = ["" if item is None else str(item) for item in items]
    return {"text": str(inputs["sep"]).join(shown), "items": items}


async def _add(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"sum": cast("float", inputs["a"]) + cast("float", inputs["b"])}


async def _inspect(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"received": dict(inputs), "keys": sorted(inputs)}


async def _defaults(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"received": dict(inputs)}


async def _require(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"out": inputs["x"]}


async def _require_if(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"out": inputs.get("x", "absent")}


async def _fail(inputs: Inputs, context: NodeContext) -> Outputs:
    raise Exception(inputs["message"])


def _fail_sync(inputs: Inputs, context: NodeContext) -> Outputs:
    raise Exception("sync boom")


async def _fail_string(inputs: Inputs, context: NodeContext) -> Outputs:
    # The original throws a bare string, which Python cannot.
    raise Exception("plain string")


async def _slow(inputs: Inputs, context: NodeContext) -> Outputs:
    await clock_of(context).sleep(cast("float", inputs["ms"]))
    if inputs["fail"]:
        raise Exception("slow failed")
    return await _echo(inputs, context)


async def _return_nothing(inputs: Inputs, context: NodeContext) -> None:
    return None


def _return_plain(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"out": "not awaited"}


async def _return_extra(inputs: Inputs, context: NodeContext) -> Outputs:
    return {"out": 1, "undeclared": 2}


async def _return_scalar(inputs: Inputs, context: NodeContext) -> int:
    return 42


# How the original names what a context offers.
_ORIGINAL_NAMES = {
    "config": "nodeData",
    "node_id": "nodeId",
    "run_id": "promptId",
    "services": "services",
    "user_id": "userId",
    "interface_inputs": "workflowInterfaceInputs",
    "interface_outputs": "workflowInterfaceOutputs",
}


async def _context(inputs: Inputs, context: NodeContext) -> Outputs:
    seen = {
        "keys": sorted(name for key, name in _ORIGINAL_NAMES.items() if hasattr(context, key)),
        "promptId": context.run_id,
        "nodeId": context.node_id,
        "userId": context.user_id,
        "mode": context.mode,
        "interfaceInputs": sorted(context.interface_inputs),
        "interfaceOutputs": sorted(context.interface_outputs),
    }
    return {"seen": seen}


def _needs(config: Mapping[str, object]) -> bool:
    return config.get("need") is True


_IN, _OUT = {"in": take("W")}, {"out": give("W")}

BATCH_NODES = (
    NodeDefinition(
        type="Const", inputs={"value": take("W")}, outputs={"value": give("W")}, execute=_const
    ),
    NodeDefinition(type="Echo", inputs=_IN, outputs=_OUT, execute=_echo),
    NodeDefinition(type="NoOp", inputs=_IN, outputs=_OUT, execute=_echo),
    NodeDefinition(type="Pair", outputs={"a": give("I"), "b": give("I")}, execute=_pair),
    NodeDefinition(type="IsStream", inputs=_IN, outputs={"kind": give("S")}, execute=_is_stream),
    NodeDefinition(
        type="Concat",
        inputs={"texts": take("S!", multi=True), "sep": take("S", "")},
        outputs={"text": give("S"), "items": give("A")},
        execute=_concat,
    ),
    NodeDefinition(
        type="Add",
        inputs={"a": take("F!"), "b": take("F", 0)},
        outputs={"sum": give("F")},
        execute=_add,
    ),
    NodeDefinition(
        type="Inspect",
        inputs={
            "a": take("W"),
            "b": take("W"),
            "c": take("W", "c-default"),
            "m": take("W", multi=True),
        },
        outputs={"received": give("O"), "keys": give("A")},
        execute=_inspect,
    ),
    NodeDefinition(
        type="Defaults",
        inputs={
            "s": take("S", "dflt"),
            "n": take("I", 7),
            "zero": take("I", 0),
            "empty": take("S", ""),
            "no": take("B", False),
            "nul": take("W", None),
            "none": take("W"),
        },
        outputs={"received": give("O")},
        execute=_defaults,
    ),
    NodeDefinition(type="Require", inputs={"x": take("W!")}, outputs=_OUT, execute=_require),
    NodeDefinition(
        type="RequireIf",
        inputs={"x": take("W", required=_needs)},
        outputs=_OUT,
        config_schema={"need": take("B")},
        execute=_require_if,
    ),
    NodeDefinition(
        type="Fail", inputs=_IN | {"message": take("S", "boom")}, outputs=_OUT, execute=_fail
    ),
    NodeDefinition(type="FailSync", outputs=_OUT, execute=_fail_sync),
    NodeDefinition(type="FailString", outputs=_OUT, execute=_fail_string),
    NodeDefinition(
        type="Slow",
        inputs=_IN | {"ms": take("I", 50), "fail": take("B", False)},
        outputs=_OUT,
        execute=_slow,
    ),
    NodeDefinition(type="NoExec", inputs=_IN, outputs=_OUT),
    NodeDefinition(type="ReturnNothing", outputs=_OUT, execute=_return_nothing),
    NodeDefinition(type="ReturnPlain", outputs=_OUT, execute=_return_plain),
    NodeDefinition(type="ReturnExtra", outputs=_OUT, execute=_return_extra),
    NodeDefinition(type="ReturnScalar", outputs=_OUT, execute=_return_scalar),
    NodeDefinition(type="Context", outputs={"seen": give("O")}, execute=_context),
)
