"""RandomNumber: what the host computes, and when it leaves that to the page."""

from __future__ import annotations

import random

import pytest

from comfytavern.errors import NodeFailedError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

RANDOM_NUMBER = next(node for node in definitions() if node.type == "RandomNumber")
LAST = 2**32 - 1
DRAWN = 123_456_789


@pytest.fixture(autouse=True)
def _dice(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(limit: int) -> int:
        assert limit == 2**32
        return DRAWN

    monkeypatch.setattr(random, "randrange", draw)


@pytest.mark.parametrize(
    ("mode", "value", "number"),
    [
        ("fixed", 7, 7),
        ("固定", 7, 7),
        ("increase", 7, 8),
        ("增加", 7, 8),
        ("increase", LAST, 0),
        ("decrease", 7, 6),
        ("减少", 7, 6),
        ("decrease", 0, LAST),
        ("random", 7, DRAWN),
        ("随机", 7, DRAWN),
    ],
)
async def test_without_a_page_the_host_takes_the_step(mode: str, value: int, number: int) -> None:
    result = await run_node(RANDOM_NUMBER, mode=mode, value=value)
    assert result.outputs == {"number": number}


@pytest.mark.parametrize("mode", ["fixed", "increase", "decrease", "random", "随机"])
async def test_what_the_page_computed_goes_on(mode: str) -> None:
    result = await run_node(RANDOM_NUMBER, mode=mode, value=41, page_value=41)
    assert result.outputs == {"number": 41}


async def test_value_changed_after_the_page_computed() -> None:
    result = await run_node(RANDOM_NUMBER, mode="increase", value=50, page_value=41)
    assert result.outputs == {"number": 51}


async def test_mark_that_the_page_took_back() -> None:
    result = await run_node(RANDOM_NUMBER, mode="increase", value=0, page_value=None)
    assert result.outputs == {"number": 1}


@pytest.mark.parametrize(("trigger", "number"), [(True, DRAWN), (1, DRAWN), (False, 7), (None, 7)])
async def test_reroll_draws_in_every_mode(trigger: object, number: int) -> None:
    result = await run_node(RANDOM_NUMBER, mode="fixed", value=7, reroll=trigger)
    assert result.outputs == {"number": number}


async def test_defaults_give_zero() -> None:
    assert (await run_node(RANDOM_NUMBER)).outputs == {"number": 0}


@pytest.mark.parametrize(
    ("mode", "hint"),
    [
        ("increas", "did you mean 'increase'?"),
        ("?", "modes: fixed, increase, decrease, random, 固定, 增加, 减少, 随机"),
    ],
)
async def test_unknown_mode_is_named(mode: str, hint: str) -> None:
    with pytest.raises(NodeFailedError) as failed:
        await run_node(RANDOM_NUMBER, mode=mode)
    assert failed.value.reason == f"unknown mode {mode!r}; {hint}"
