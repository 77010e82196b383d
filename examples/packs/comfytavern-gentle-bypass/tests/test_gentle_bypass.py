"""What bypassed nodes hand on: those of the pack, and others where the operator says so."""

from __future__ import annotations

from typing import Annotated, Any

import comfytavern_gentle_bypass
import pytest

from comfytavern import (
    NodeDefinition,
    Output,
    PackHost,
    Status,
    hookimpl,
    node,
)
from comfytavern.packs import PackChoice
from comfytavern.testing import run_graph, run_node

NAME = "comfytavern-gentle-bypass"
Json = dict[str, Any]  # Any: JSON
pytestmark = pytest.mark.anyio


@node
async def read(
    text: str = "my default", count: int = 7
) -> tuple[Annotated[str, Output("text")], Annotated[int, Output("count")]]:
    return text, count


def workflow(full_type: str, reader: str, **inputs: object) -> Json:
    """Place a bypassed node whose outputs a reader takes."""
    ends = {"sourceNodeId": "past", "targetNodeId": "reader"}
    return {
        "nodes": [
            {"id": "past", "fullType": full_type, "bypassed": True, "inputs": inputs},
            {"id": "reader", "fullType": reader},
        ],
        "edges": [
            {**ends, "sourceHandle": slot, "targetHandle": slot} for slot in ("text", "count")
        ],
        "interfaceOutputs": {slot: {} for slot in ("text", "count")},
        "outputInterfaceMappings": {
            slot: {"sourceNodeId": "reader", "sourceSlotKey": slot} for slot in ("text", "count")
        },
    }


async def test_the_node_when_it_is_not_bypassed() -> None:
    replace = comfytavern_gentle_bypass.replace_word
    result = await run_node(replace, word="ale", by="milk", text="ale, more ale")
    assert result.outputs == {"text": "milk, more milk", "count": 2}


async def test_a_node_of_its_own() -> None:
    placed = workflow(
        f"{NAME}:ReplaceWord", "test:Read", word="ale", by="milk", text="ale, more ale"
    )
    result = await run_graph(placed, comfytavern_gentle_bypass, read)
    assert result.states["past"] is Status.SKIPPED
    # The text, and not the word, which comes first; no count, and not the count 0.
    assert result.outputs == {"text": "ale, more ale", "count": 7}


@node
async def swap(
    first: str, text: str
) -> tuple[Annotated[str, Output("text")], Annotated[int, Output("count")]]:
    return first, len(text)


class Foreign:
    """Another pack."""

    @hookimpl
    def register_nodes(self) -> list[NodeDefinition]:
        """Contribute two nodes; the author of one has said what is to happen."""
        return [swap, swap.model_copy(update={"type": "Mute", "bypass_behavior": "mute"}), read]


async def outputs(listed: bool, node_type: str) -> object:
    """Run in a host whose operator lists the pack, or does not."""
    host = PackHost(PackChoice(bypass=(NAME,) if listed else ()), found=())
    host.packs.add(comfytavern_gentle_bypass, distribution=NAME)
    host.packs.add(Foreign(), distribution="foreign")
    async with host:
        result = await host.run(workflow(node_type, "foreign:Read", first="1", text="2"))
    return result.outputs


async def test_nodes_of_others_only_where_the_operator_says_so() -> None:
    assert await outputs(False, "foreign:Swap") == {"text": "1", "count": 0}
    assert await outputs(True, "foreign:Swap") == {"text": "2", "count": 7}


async def test_what_the_author_of_a_node_has_declared_stays() -> None:
    assert await outputs(True, "foreign:Mute") == {"text": "my default", "count": 7}
    assert await outputs(False, "foreign:Mute") == {"text": "my default", "count": 7}
