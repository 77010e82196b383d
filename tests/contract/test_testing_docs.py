"""The examples of ``docs/testing-a-pack.md`` are tests, and they pass."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import comfytavern.testing

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "testing-a-pack.md"

Test = Callable[[], Coroutine[Any, Any, None]]  # Any: of no interest


@cache
def blocks() -> list[str]:
    """Return the Python blocks of the page."""
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def executed(name: str, source: str) -> ModuleType:
    """Return a module of this name with what a block defines."""
    module = ModuleType(name)
    # The future imports of this module are not those of the example.
    exec(compile(source, PAGE.name, "exec", dont_inherit=True), vars(module))
    return module


TESTS = re.findall(r"^async def (test_\w+)\(", "\n".join(blocks()), re.MULTILINE)


@pytest.fixture
def blockbuster() -> None:
    """Let loading block the loop: a host loads its packs before there is one."""


@pytest.fixture(autouse=True)
def my_pack(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Make the pack of the page importable."""
    [source] = [block for block in blocks() if block.startswith("# my_pack.py\n")]
    module = executed("my_pack", source)
    monkeypatch.setitem(sys.modules, "my_pack", module)
    return module


@pytest.fixture
def shown(my_pack: ModuleType, request: pytest.FixtureRequest) -> Test:
    """Give the test of the page that the parameter names."""
    [source] = [block for block in blocks() if f"async def {request.param}(" in block]
    test: Test = getattr(executed("example", source), request.param)
    return test


@pytest.mark.parametrize("shown", TESTS, indirect=True)
async def test_an_example_passes(shown: Test) -> None:
    await shown()


def test_there_are_examples() -> None:
    assert len(TESTS) == len(set(TESTS)) == 13


def test_everything_in_the_kit_is_told() -> None:
    text = PAGE.read_text("utf-8")
    told = {name for name in comfytavern.testing.__all__ if f"`{name}`" in text}
    # What a result holds is told by its attributes; the memory behind `resources` needs no name.
    assert set(comfytavern.testing.__all__) - told == {
        "EventLog",
        "GraphResult",
        "MemoryResources",
        "NodeResult",
    }
