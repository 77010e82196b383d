"""The decorator: a typed function becomes a definition, and the definition runs the function."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from comfytavern import (
    BypassBehavior,
    Chunk,
    Config,
    DataFlowType,
    Input,
    InputDefinition,
    NodeContext,
    NodeDefinition,
    NodeFailedError,
    Output,
    OutputDefinition,
    Outputs,
    Stream,
    node,
)
from comfytavern.testing import run_node

T = DataFlowType
Slot = dict[str, Any]  # Any: fields of a slot


def fields(slot: InputDefinition | OutputDefinition) -> Slot:
    return slot.model_dump(exclude_defaults=True)


# --- the example of the design, word for word ---------------------------------------------


@node(category="Text", display_name="Shout")
async def shout(text: str, times: Annotated[int, Input(minimum=1, maximum=9)] = 1) -> Annotated[str, Output("loud")]:  # noqa: E501 - as the design has it  # fmt: skip
    """Upper-case a text."""
    return text.upper() + "!" * times


def test_the_example_of_the_design() -> None:
    assert shout.to_wire() == {
        "type": "Shout",
        "fullType": "Shout",
        "category": "Text",
        "displayName": "Shout",
        "description": "Upper-case a text.",
        "inputs": {
            "text": {"dataFlowType": "STRING", "required": True},
            "times": {"dataFlowType": "INTEGER", "config": {"min": 1, "max": 9, "default": 1}},
        },
        "outputs": {"loud": {"dataFlowType": "STRING"}},
    }


async def test_the_example_runs() -> None:
    assert (await run_node(shout, text="hi")).outputs == {"loud": "HI!"}
    assert (await run_node(shout, text="hi", times=2)).outputs == {"loud": "HI!!"}


# --- parameters ---------------------------------------------------------------------------


class Point(TypedDict):
    x: int
    y: int


class Unknown:
    """A type of a pack's own."""


@node
def every_type(  # type: ignore[no-untyped-def]  # the last parameter is untyped on purpose
    text: str,
    flag: bool,
    whole: int,
    number: float,
    data: bytes,
    array: list[int],
    bare_list: list,  # type: ignore[type-arg]  # bare on purpose
    pair: tuple[int, ...],
    sequence: Sequence[str],
    mapping: Mapping[str, object],
    dictionary: dict[str, int],
    point: Point,
    own: Unknown,
    any_thing: Any,
    either: int | str,
    stream: Stream,
    nothing_said,
) -> None:
    """Take everything."""


EVERY_TYPE = {
    "text": T.STRING,
    "flag": T.BOOLEAN,
    "whole": T.INTEGER,
    "number": T.FLOAT,
    "data": T.BINARY,
    "array": T.ARRAY,
    "bare_list": T.ARRAY,
    "pair": T.ARRAY,
    "sequence": T.ARRAY,
    "mapping": T.OBJECT,
    "dictionary": T.OBJECT,
    "point": T.OBJECT,
    "own": T.WILDCARD,
    "any_thing": T.WILDCARD,
    "either": T.WILDCARD,
    "stream": T.WILDCARD,
    "nothing_said": T.WILDCARD,
}


def test_types_of_parameters() -> None:
    assert {name: slot.data_flow_type for name, slot in every_type.inputs.items()} == EVERY_TYPE
    assert all(slot.required is True for slot in every_type.inputs.values())
    assert [name for name, slot in every_type.inputs.items() if slot.is_stream] == ["stream"]
    assert every_type.outputs == {}


@node
def defaults(
    text: str = "",
    zero: int = 0,
    flag: bool = False,
    items: Sequence[int] = (1, 2),
    maybe: str | None = None,
    maybe_stream: Stream | None = None,
    maybe_marked: Annotated[int | None, Input(maximum=3)] = None,
) -> list[object]:
    return [text, zero, flag, items, maybe, maybe_stream, maybe_marked]


def test_defaults_of_parameters() -> None:
    assert {name: fields(slot) for name, slot in defaults.inputs.items()} == {
        "text": {"data_flow_type": T.STRING, "config": {"default": ""}},
        "zero": {"data_flow_type": T.INTEGER, "config": {"default": 0}},
        "flag": {"data_flow_type": T.BOOLEAN, "config": {"default": False}},
        "items": {"data_flow_type": T.ARRAY, "config": {"default": (1, 2)}},
        # None says that nothing need come; it is no default for the editor to show
        "maybe": {"data_flow_type": T.STRING},
        "maybe_stream": {"is_stream": True},
        "maybe_marked": {"data_flow_type": T.INTEGER, "config": {"max": 3}},
    }


async def test_what_is_absent_keeps_its_default() -> None:
    result = await run_node(defaults, zero=5)
    assert result.outputs == {"result": ["", 5, False, (1, 2), None, None, None]}


@node
def marked(
    text: Annotated[
        str,
        Input(
            display_name="Text",
            description="What to say",
            minimum=1,
            maximum=2,
            step=0.5,
            multiline=True,
            suggestions=("a", "b"),
            placeholder="...",
            categories=("Markdown",),
            multi=True,
            flow=T.OBJECT,
            config={"rows": 4, "min": 0},
        ),
    ],
) -> None: ...


def test_what_a_marker_says() -> None:
    assert fields(marked.inputs["text"]) == {
        "display_name": "Text",
        "description": "What to say",
        "data_flow_type": T.OBJECT,
        "match_categories": ("Markdown",),
        "required": True,
        "multi": True,
        "config": {
            "min": 0,
            "max": 2,
            "step": 0.5,
            "multiline": True,
            "suggestions": ["a", "b"],
            "placeholder": "...",
            "rows": 4,
        },
    }


def outer_optional(x: Annotated[int, Input(maximum=3)] | None = None) -> int | None:
    return x


def test_a_marker_inside_an_optional_counts_too() -> None:
    slot = node(outer_optional).inputs["x"]
    assert fields(slot) == {"data_flow_type": T.INTEGER, "config": {"max": 3}}


@node
def combos(
    mode: Literal["fast", "slow"],
    other: Literal["a", "b"] | None = None,
    marked: Annotated[Literal["a", "b"], Input(categories=("Mine",), suggestions=["c"])] = "a",
) -> Annotated[Literal["x"], Output("picked")]:
    return "x"


def test_a_literal_is_a_combo() -> None:
    assert {name: fields(slot) for name, slot in combos.inputs.items()} == {
        "mode": {
            "data_flow_type": T.STRING,
            "match_categories": ("ComboOption",),
            "required": True,
            "config": {"suggestions": ["fast", "slow"]},
        },
        "other": {
            "data_flow_type": T.STRING,
            "match_categories": ("ComboOption",),
            "config": {"suggestions": ["a", "b"]},
        },
        "marked": {
            "data_flow_type": T.STRING,
            "match_categories": ("Mine", "ComboOption"),
            "config": {"suggestions": ["c"], "default": "a"},
        },
    }
    assert fields(combos.outputs["picked"])["match_categories"] == ("ComboOption",)


def sizes(size: Literal[256, 512] = 256) -> int:
    return size


def test_a_literal_of_numbers_is_a_combo_of_numbers() -> None:
    assert fields(node(sizes).inputs["size"]) == {
        "data_flow_type": T.INTEGER,
        "match_categories": ("ComboOption",),
        "config": {"suggestions": [256, 512], "default": 256},
    }


@node
async def configured(
    text: str,
    tone: Annotated[str, Config(display_name="Tone", suggestions=["low"])] = "low",
    level: Annotated[int, Config(minimum=1)] = 3,
    *,
    keyword: int = 7,
    context: NodeContext | None = None,
) -> list[object]:
    assert context is not None
    return [context.node_id, text, tone, level, keyword]


def test_configuration_and_context_are_no_slots() -> None:
    assert list(configured.inputs) == ["text", "keyword"]
    assert {name: fields(slot) for name, slot in configured.config_schema.items()} == {
        "tone": {
            "display_name": "Tone",
            "data_flow_type": T.STRING,
            "config": {"suggestions": ["low"], "default": "low"},
        },
        "level": {"data_flow_type": T.INTEGER, "config": {"min": 1, "default": 3}},
    }


@pytest.mark.parametrize(
    ("config", "expected"), [({}, ["low", 3]), ({"tone": "high", "level": 9}, ["high", 9])]
)
async def test_configuration_reaches_the_function(
    config: dict[str, object], expected: list[object]
) -> None:
    result = await run_node(configured, {"text": "t"}, config=config)
    assert result.outputs == {"result": ["node", "t", *expected, 7]}


# --- results ------------------------------------------------------------------------------


class Report(TypedDict):
    text: Annotated[str, Output(display_name="The text", categories=["Markdown"])]
    count: int
    note: NotRequired[str]


def nothing() -> None: ...


def bare(x: int = 1) -> int:
    return x


def unsaid(x=1):  # type: ignore[no-untyped-def]  # untyped on purpose
    return x


def one(x: int = 1) -> Annotated[float, Output("half", display_name="Half", flow=T.WILDCARD)]:
    return x / 2


def optional(x: int = 1) -> int | None:
    return None


def several(x: int = 1) -> tuple[Annotated[int, Output("low")], Annotated[int, Output("high")]]:
    return x - 1, x + 1


def single(x: int = 1) -> tuple[Annotated[int, Output("only")]]:
    return (x,)


def report(x: int = 1) -> Report:
    return {"text": "t", "count": x}


def whole_report(x: int = 1) -> Annotated[Report, Output("report")]:
    return {"text": "t", "count": x}


def plain_tuple(x: int = 1) -> Annotated[tuple[int, int], Output("pair")]:
    return x, x


Function = Callable[..., Any]  # Any: as any node function


@pytest.mark.parametrize(
    ("function", "slots", "outputs"),
    [
        (nothing, {}, {}),
        (bare, {"result": {"data_flow_type": T.INTEGER}}, {"result": 1}),
        (unsaid, {"result": {}}, {"result": 1}),
        (one, {"half": {"display_name": "Half"}}, {"half": 0.5}),
        (optional, {"result": {"data_flow_type": T.INTEGER}}, {"result": None}),
        (
            several,
            {"low": {"data_flow_type": T.INTEGER}, "high": {"data_flow_type": T.INTEGER}},
            {"low": 0, "high": 2},
        ),
        (single, {"only": {"data_flow_type": T.INTEGER}}, {"only": 1}),
        (
            report,
            {
                "text": {
                    "display_name": "The text",
                    "data_flow_type": T.STRING,
                    "match_categories": ("Markdown",),
                },
                "count": {"data_flow_type": T.INTEGER},
                "note": {"data_flow_type": T.STRING},
            },
            {"text": "t", "count": 1},
        ),
        (
            whole_report,
            {"report": {"data_flow_type": T.OBJECT}},
            {"report": {"text": "t", "count": 1}},
        ),
        (plain_tuple, {"pair": {"data_flow_type": T.ARRAY}}, {"pair": (1, 1)}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_results(
    function: Function, slots: dict[str, Slot], outputs: dict[str, object]
) -> None:
    definition = node(function)
    assert {name: fields(slot) for name, slot in definition.outputs.items()} == slots
    assert (await run_node(definition)).outputs == outputs


MORE = {"extra": OutputDefinition(data_flow_type=T.INTEGER)}


def returns_mapping() -> dict[str, object]:
    return {"extra": 1}


def returns_none() -> None: ...


def returns_report() -> Report:
    return {"text": "t", "count": 1, "extra": 2}  # type: ignore[typeddict-unknown-key]  # declared beside


@pytest.mark.parametrize(
    ("function", "outputs"),
    [
        (returns_mapping, {"extra": 1}),
        (returns_none, {}),
        (returns_report, {"text": "t", "count": 1, "extra": 2}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_further_outputs_are_returned_by_name(
    function: Function, outputs: dict[str, object]
) -> None:
    definition = node(function, outputs=MORE)
    assert (await run_node(definition)).outputs == outputs


# --- streams ------------------------------------------------------------------------------


@node(outputs={"count": OutputDefinition(data_flow_type=T.INTEGER)})
async def words(text: str) -> AsyncIterator[Annotated[str, Output("words")]]:
    for word in text.split():
        yield word
    yield Outputs(count=len(text.split()))  # type: ignore[misc]  # the last thing it yields


async def unmarked() -> AsyncGenerator[str | Chunk, None]:
    yield "a"
    yield Chunk.usage({"tokens": 1})


async def whole_marked() -> Annotated[AsyncIterator[Chunk], Output("chunks", description="All")]:
    yield Chunk.text("a")


async def unannotated():  # type: ignore[no-untyped-def]  # untyped on purpose
    yield "a"


@pytest.mark.parametrize(
    ("function", "name", "slot"),
    [
        (unmarked, "stream", {"data_flow_type": T.STRING, "is_stream": True}),
        (whole_marked, "chunks", {"description": "All", "is_stream": True}),
        (unannotated, "stream", {"is_stream": True}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_async_generators_stream(function: Function, name: str, slot: Slot) -> None:
    definition = node(function)
    assert {key: fields(found) for key, found in definition.outputs.items()} == {name: slot}
    result = await run_node(definition)
    assert result.text == "a"
    assert result.outputs == {}


async def test_text_is_yielded_as_chunks_and_outputs_end_it() -> None:
    assert list(words.outputs) == ["words", "count"]
    result = await run_node(words, text="one two")
    assert result.chunks == [Chunk("text_chunk", "one"), Chunk("text_chunk", "two")]
    assert result.outputs == {"count": 2}


@node
async def joined(stream: Stream, end: str = ".") -> str:
    return await stream.text() + end


async def test_a_stream_parameter_is_read() -> None:
    result = await run_node(joined, stream=["a", Chunk.usage({}), "b"])
    assert result.outputs == {"result": "ab."}


# --- the definition around it -------------------------------------------------------------


def text_to_upper_case(text: str) -> str:
    """Upper-case
    a text.

    And more that nobody shows.
    """
    return text.upper()


def test_names_come_from_the_function() -> None:
    definition = node(text_to_upper_case)
    assert (definition.type, definition.description) == ("TextToUpperCase", "Upper-case a text.")
    assert definition.display_name == ""


def test_fields_are_handed_on() -> None:
    definition = node(
        text_to_upper_case,
        type="Up",
        bypass=BypassBehavior(pass_through={"result": "text"}),
        description="Mine.",
        width=120,
        idempotent=True,
    )
    assert (definition.type, definition.description, definition.width) == ("Up", "Mine.", 120)
    assert definition.bypass_behavior == BypassBehavior(pass_through={"result": "text"})
    assert definition.idempotent
    assert node(bypass="mute")(text_to_upper_case).bypass_behavior == "mute"


def var_positional(*texts: str) -> str:
    return ""


def var_keyword(**texts: str) -> str:
    return ""


def unnamed_part() -> tuple[Annotated[str, Output("a")], str]:
    return "", ""


def same_name_twice() -> tuple[Annotated[str, Output("a")], Annotated[str, Output("a")]]:
    return "", ""


def declared_twice() -> Annotated[str, Output("extra")]:
    return ""


REFUSED: list[tuple[Function, str]] = [
    (var_positional, "var_positional: '*texts' cannot become a slot; name each input"),
    (var_keyword, "var_keyword: '*texts' cannot become a slot; name each input"),
    (
        unnamed_part,
        "unnamed_part: each part of a tuple result needs Annotated[..., Output(name)]",
    ),
    (declared_twice, "declared_twice: output 'extra' is declared twice"),
    (same_name_twice, "same_name_twice: output 'a' is declared twice"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED, ids=[f.__name__ for f, _ in REFUSED])
def test_signatures_that_are_refused(function: Function, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        node(function, outputs=MORE)
    assert str(caught.value) == message


async def test_a_positional_parameter_is_given_or_refused_at_once() -> None:
    def echo(text: str, /) -> str:
        return text

    try:
        definition: NodeDefinition | None = node(echo)
    except TypeError:
        definition = None
    if definition is not None:
        assert (await run_node(definition, text="a")).outputs == {"result": "a"}


async def test_a_result_with_too_few_parts_fails_the_node() -> None:
    def short() -> tuple[Annotated[int, Output("a")], Annotated[int, Output("b")]]:
        return (1,)  # type: ignore[return-value]  # that it fails is the point

    with pytest.raises(NodeFailedError) as caught:
        await run_node(node(short))
    assert str(caught.value) == (
        "node 'node' (test:Short) failed: zip() argument 2 is shorter than argument 1"
    )


async def test_a_plain_function_runs_in_a_thread() -> None:
    import threading

    here = threading.get_ident()

    def where() -> bool:
        return threading.get_ident() == here

    async def where_async() -> bool:
        return threading.get_ident() == here

    assert (await run_node(node(where))).outputs == {"result": False}
    assert (await run_node(node(where_async))).outputs == {"result": True}
