"""MathOperation, Switch, the constants and TestWidgets."""

from __future__ import annotations

import pytest

from comfytavern.errors import NodeFailedError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

OPERATIONS = "add, subtract, multiply, divide, modulo, power, minimum, maximum"
NO_JSON = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
NODES = {node.type: node for node in definitions()}


async def failure(name: str, **inputs: object) -> str:
    with pytest.raises(NodeFailedError) as failed:
        await run_node(NODES[name], inputs)
    return failed.value.reason


@pytest.mark.parametrize(
    ("operation", "a", "b", "result", "integer"),
    [
        ("add", 2, 0.5, 2.5, 3),
        ("subtract", 2, 4.5, -2.5, -3),
        ("multiply", 3, 1.1, 3.3000000000000003, 3),
        ("divide", 7, 2, 3.5, 4),
        ("modulo", -7, 3, 2.0, 2),
        ("modulo", 7, -3, -2.0, -2),
        ("power", 2, 10, 1024.0, 1024),
        ("power", 0, 0, 1.0, 1),
        ("minimum", 2, 1, 1.0, 1),
        ("maximum", 2, 1, 2.0, 2),
        ("add", 0.49999999999999994, 0, 0.49999999999999994, 0),
        ("multiply", 1e300, 10, 1e301, int(1e301)),
    ],
)
async def test_math(operation: str, a: float, b: float, result: float, integer: int) -> None:
    outputs = (await run_node(NODES["MathOperation"], operation=operation, a=a, b=b)).outputs
    assert outputs == {"result": result, "integer": integer}
    assert isinstance(outputs["result"], float)


async def test_math_defaults() -> None:
    assert (await run_node(NODES["MathOperation"])).outputs == {"result": 0.0, "integer": 0}


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"operation": "divide", "a": 7}, "division by zero: 7 divide 0"),
        ({"operation": "modulo", "a": 7}, "division by zero: 7 modulo 0"),
        ({"operation": "power", "b": -1}, "division by zero: 0 power -1"),
        (
            {"operation": "power", "a": 10, "b": 400},
            "the result of 10 power 400 is too large; numbers end at 1.8e308",
        ),
        (
            {"operation": "multiply", "a": 1e308, "b": 10},
            "the result of 1e+308 multiply 10 is too large; numbers end at 1.8e308",
        ),
        (
            {"operation": "power", "a": -8, "b": 0.5},
            "no real number is the result of -8 power 0.5; a negative number has only whole powers",
        ),
        ({"operation": "divid"}, "unknown operation 'divid'; did you mean 'divide'?"),
        ({"operation": 3}, f"unknown operation 3; operations: {OPERATIONS}"),
    ],
)
async def test_math_that_cannot_be_done(inputs: dict[str, object], reason: str) -> None:
    assert await failure("MathOperation", **inputs) == reason


@pytest.mark.parametrize(
    ("condition", "output"), [(True, "yes"), (False, "no"), (None, "no"), (1, "yes"), (0.0, "no")]
)
async def test_switch(condition: object, output: str) -> None:
    inputs: dict[str, object] = {"condition": condition, "if_true": "yes", "if_false": "no"}
    assert (await run_node(NODES["Switch"], inputs)).outputs == {"output": output}


async def test_switch_condition_defaults_to_false() -> None:
    assert (await run_node(NODES["Switch"], if_false=[1])).outputs == {"output": [1]}


async def test_switch_absent_branch_gives_an_absent_output() -> None:
    result = await run_node(NODES["Switch"], condition=True, if_false="no")
    assert "output" not in result.outputs


async def test_switch_null_branch_is_a_value() -> None:
    result = await run_node(NODES["Switch"], condition=True, if_true=None)
    assert result.outputs == {"output": None}


@pytest.mark.parametrize(
    ("kind", "value", "default"),
    [
        ("String", "a\nb", ""),
        ("Integer", -3, 0),
        ("Float", 0.25, 0.0),
        ("Boolean", True, False),
        ("Object", {"a": [1]}, {}),
        ("Array", [1, {"a": None}], []),
        ("String", None, ""),
    ],
)
async def test_constant(kind: str, value: object, default: object) -> None:
    node = NODES[f"{kind}Constant"]
    assert (await run_node(node, value=value)).outputs == {"value": value}
    assert (await run_node(node)).outputs == {"value": default}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("Object", ' {"a": [1, null]} ', {"a": [1, None]}), ("Array", '["ü"]', ["ü"])],
)
async def test_structures_from_json_text(kind: str, text: str, value: object) -> None:
    assert (await run_node(NODES[f"{kind}Constant"], value=text)).outputs == {"value": value}


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("Object", "{a: 1}", f"the text is not JSON: {NO_JSON}; expected a JSON object"),
        ("Object", "[1]", "input 'value' is a list; expected a JSON object"),
        ("Array", '{"a": 1}', "input 'value' is an object; expected a JSON list"),
        ("Array", 3, "input 'value' is a whole number; expected a JSON list"),
        ("Array", "[" * 100_000, "the JSON text is nested too deeply"),
    ],
)
async def test_structure_that_does_not_fit(kind: str, value: object, reason: str) -> None:
    assert await failure(f"{kind}Constant", value=value) == reason


async def test_widgets_give_their_defaults() -> None:
    node = NODES["TestWidgets"]
    outputs = (await run_node(node)).outputs
    assert list(outputs) == list(node.outputs)
    assert outputs["int_output"] == 10
    assert outputs["json_output"] == {"table": 4, "guests": ["Ann", "Bo"]}


async def test_widgets_give_what_they_hold() -> None:
    names = {
        "string_input": "string_output",
        "text_input": "text_output",
        "markdown_input": "markdown_output",
        "int_input": "int_output",
        "float_input": "float_output",
        "boolean_toggle": "boolean_output",
        "combo_select": "combo_output",
        "json_input": "json_output",
        "javascript_code_input": "javascript_code_output",
        "string_with_suggestions": "string_with_suggestions_output",
        "int_with_suggestions": "int_with_suggestions_output",
        "float_with_suggestions": "float_with_suggestions_output",
    }
    assert list(NODES["TestWidgets"].inputs) == [*list(names)[:9], "button", *list(names)[9:]]
    samples: dict[str, object] = {
        "int_input": 3,
        "float_input": 0.75,
        "boolean_toggle": False,
        "json_input": {"x": 1},
        "int_with_suggestions": 128,
        "float_with_suggestions": 2.0,
    }
    given = {name: samples.get(name, name) for name in names}
    outputs = (await run_node(NODES["TestWidgets"], {"button": True, **given})).outputs
    assert outputs == {names[name]: value for name, value in given.items()}
