"""One constant per type: a widget whose value goes out as it is.

ObjectConstant and ArrayConstant take JSON text as well as structures. Their input is therefore a
WILDCARD, tagged Json for the editor: a slot of type OBJECT would refuse the text while the
workflow is checked, before the node could read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from comfytavern.context import NodeContext
from comfytavern.definitions import Execute, InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory, describe_value, fits

__all__ = ("CONSTANTS",)

_JSON = (MatchCategory.JSON, MatchCategory.UI_BLOCK)

_EXPECTED: Mapping[DataFlowType, str] = {
    DataFlowType.STRING: "text",
    DataFlowType.INTEGER: "a whole number",
    DataFlowType.FLOAT: "a number",
    DataFlowType.BOOLEAN: "true or false",
    DataFlowType.OBJECT: "an object",
    DataFlowType.ARRAY: "a list",
}


def _constant(
    kind: str,
    flow: DataFlowType,
    config: dict[str, object],
    *,
    accepts: DataFlowType | None = None,
    categories: tuple[str, ...] = (),
    read: Callable[[object], object] = lambda value: value,
) -> NodeDefinition:
    noun = kind.lower()
    return NodeDefinition(
        type=f"{kind}Constant",
        category="Utilities",
        display_name=f"{kind} Constant",
        description=f"A fixed value of type {noun}.",
        inputs={
            "value": InputDefinition(
                display_name="Value",
                description=f"The {noun} to give.",
                data_flow_type=accepts or flow,
                match_categories=categories,
                config=config,
            )
        },
        outputs={
            "value": OutputDefinition(
                display_name="Value",
                description=f"The {noun}.",
                data_flow_type=flow,
                match_categories=(MatchCategory.JSON,) if categories == _JSON else (),
            )
        },
        idempotent=True,
        execute=_giver(flow, config["default"], read),
    )


def _giver(flow: DataFlowType, default: object, read: Callable[[object], object]) -> Execute:
    async def give(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
        value = read(inputs.get("value", default))
        if not fits(value, flow):
            raise TypeError(f"input 'value' is {describe_value(value)}; expected {_EXPECTED[flow]}")
        return {"value": value}

    return give


def _from_json(kind: type[dict[str, object]] | type[list[object]]) -> Callable[[object], object]:
    noun = "object" if kind is dict else "list"

    def read(value: object) -> object:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except RecursionError:
                raise ValueError("the JSON text is nested too deeply") from None
            except ValueError as exc:
                raise ValueError(f"the text is not JSON: {exc}; expected a JSON {noun}") from exc
        allowed = (dict,) if kind is dict else (list, tuple)
        if value is not None and not isinstance(value, allowed):
            raise TypeError(f"input 'value' is {describe_value(value)}; expected a JSON {noun}")
        return value

    return read


CONSTANTS = (
    _constant(
        "String",
        DataFlowType.STRING,
        {"default": "", "multiline": True, "placeholder": "any text"},
        categories=(MatchCategory.CAN_PREVIEW,),
    ),
    _constant("Integer", DataFlowType.INTEGER, {"default": 0, "step": 1}),
    _constant("Float", DataFlowType.FLOAT, {"default": 0.0, "step": 0.1}),
    _constant("Boolean", DataFlowType.BOOLEAN, {"default": False}),
    _constant(
        "Object",
        DataFlowType.OBJECT,
        {"default": {}, "multiline": True, "languageHint": "json", "placeholder": '{"key": 1}'},
        accepts=DataFlowType.WILDCARD,
        categories=_JSON,
        read=_from_json(dict),
    ),
    _constant(
        "Array",
        DataFlowType.ARRAY,
        {"default": [], "multiline": True, "languageHint": "json", "placeholder": "[1, 2, 3]"},
        accepts=DataFlowType.WILDCARD,
        categories=_JSON,
        read=_from_json(list),
    ),
)
