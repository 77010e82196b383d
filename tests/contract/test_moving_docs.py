"""The examples of ``docs/moving-nodes.md`` are packs and tests, and they pass."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "moving-nodes.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
PACKS = {found[1]: block for block in BLOCKS if (found := re.match(r"# (\w+)\.py\n", block))}
TESTS = {
    found[1]: block
    for block in BLOCKS
    if (found := re.search(r"^async def (test_\w+)", block, re.M))
}

Test = Callable[[], Coroutine[Any, Any, None]]  # Any: of no interest


def executed(name: str, source: str) -> ModuleType:
    """Return a module of this name with what a block defines."""
    module = ModuleType(name)
    # The future imports of this module are not those of the example.
    exec(compile(source, PAGE.name, "exec", dont_inherit=True), vars(module))
    return module


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Test:
    """Give the test of the page that the parameter names, with the packs of the page."""
    for name, source in PACKS.items():
        monkeypatch.setitem(sys.modules, name, executed(name, source))
    test: Test = getattr(executed("example", TESTS[request.param]), request.param)
    return test


@pytest.mark.parametrize("shown", TESTS, indirect=True)
async def test_an_example_passes(shown: Test) -> None:
    await shown()


def test_every_block_is_a_pack_or_a_test() -> None:
    assert len(PACKS) == 3
    assert len(TESTS) == 4
    assert len(PACKS) + len(TESTS) == len(BLOCKS)
