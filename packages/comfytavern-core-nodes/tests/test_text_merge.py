"""TextMerge: what is joined, and what stands between."""

from __future__ import annotations

import pytest

from comfytavern.errors import NodeFailedError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

TEXT_MERGE = next(node for node in definitions() if node.type == "TextMerge")


@pytest.mark.parametrize(
    ("separator", "between"),
    [
        (r"\n", "\n"),
        (r"\t", "\t"),
        (r"\r\n", "\r\n"),
        (r"\\", "\\"),
        (r"\\n", r"\n"),
        (r"\\\n", "\\\n"),
        (r"\x\0", r"\x\0"),
        ("\\", "\\"),
        ("\n", "\n"),
        ("", ""),
        (" - ", " - "),
    ],
)
async def test_separator_escapes(separator: str, between: str) -> None:
    result = await run_node(TEXT_MERGE, text_inputs=["a", "b"], separator=separator)
    assert result.outputs == {"merged_text": f"a{between}b"}


async def test_default_separator_is_a_line_break() -> None:
    result = await run_node(TEXT_MERGE, text_inputs=["a", "b", "c"])
    assert result.outputs == {"merged_text": "a\nb\nc"}


@pytest.mark.parametrize(
    ("items", "merged"),
    [
        ([], ""),
        (["only"], "only"),
        (["a", None, "b"], "a,,b"),
        ([True, False, 3, 2.0, 0.5, 1e21], "true,false,3,2,0.5,1e+21"),
        ([{"a": [1, None]}, ["ü", 2.5]], '{"a":[1,null]},["ü",2.5]'),
    ],
)
async def test_items_become_text(items: list[object], merged: str) -> None:
    result = await run_node(TEXT_MERGE, text_inputs=items, separator=",")
    assert result.outputs == {"merged_text": merged}


async def test_nothing_connected_gives_an_empty_text() -> None:
    assert (await run_node(TEXT_MERGE)).outputs == {"merged_text": ""}


async def test_one_text_that_is_no_list() -> None:
    result = await run_node(TEXT_MERGE, text_inputs="alone", separator=",")
    assert result.outputs == {"merged_text": "alone"}


async def test_no_separator_at_all() -> None:
    result = await run_node(TEXT_MERGE, text_inputs=["a", "b"], separator=None)
    assert result.outputs == {"merged_text": "ab"}


async def test_bytes_are_no_text() -> None:
    with pytest.raises(NodeFailedError) as failed:
        await run_node(TEXT_MERGE, text_inputs=[b"\xff"])
    assert failed.value.reason == (
        "cannot make text of bytes: Object of type bytes is not JSON serializable;"
        " expected text, a number, a boolean, or JSON data"
    )
