"""What the READMEs show is true: their pack loads, and their test passes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from comfytavern.definitions import NodeDefinition
from comfytavern.testing import run_graph, run_node

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(file: Path) -> list[str]:
    """Return the Python blocks of a Markdown file."""
    return _BLOCK.findall(file.read_text("utf-8"))


def run_block(
    file: Path, number: int, namespace: dict[str, Any]
) -> dict[str, Any]:  # Any: its names
    """Execute a Python block of a Markdown file and return what it defines."""
    exec(compile(blocks(file)[number], file.name, "exec"), namespace)
    return namespace


@pytest.fixture
def my_pack(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the module that the README shows as a pack."""
    module = ModuleType("my_pack")
    monkeypatch.setitem(sys.modules, "my_pack", module)
    run_block(repository / "README.md", 0, module.__dict__)
    return module


@pytest.fixture
def shown_test(my_pack: ModuleType, repository: Path) -> Callable[[], Coroutine[Any, Any, None]]:
    """Give the test that the README shows."""
    shown: Callable[[], Coroutine[Any, Any, None]]
    shown = run_block(repository / "README.md", 1, {})["test_shout"]
    return shown


@pytest.fixture
def shown_in_core(repository: Path) -> NodeDefinition:
    """Give the node that core's README shows."""
    definition: NodeDefinition = run_block(repository / "core" / "README.md", 0, {})["shout"]
    return definition


async def test_the_pack_of_the_readme_runs(my_pack: ModuleType) -> None:
    placed = {"id": "shout", "fullType": "my-pack:Shout", "inputs": {"text": "hi", "times": 2}}
    result = await run_graph({"nodes": [placed]}, my_pack)
    assert result.node_outputs == {"shout": {"loud": "HI!!"}}


async def test_the_test_of_the_readme_passes(
    shown_test: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    await shown_test()


async def test_the_node_of_cores_readme_runs(shown_in_core: NodeDefinition) -> None:
    assert (await run_node(shown_in_core, text="a")).outputs == {"loud": "A!"}


def test_the_chinese_readme_shows_the_same(repository: Path) -> None:
    english = (repository / "README.md").read_text("utf-8")
    chinese = (repository / "README.zh.md").read_text("utf-8")
    for pattern in (r"^```\w+\n.*?^```$", r"^#+ ", r"\]\((?!README)[^)]+\)"):
        shape = re.compile(pattern, re.DOTALL | re.MULTILINE)
        assert sorted(shape.findall(chinese)) == sorted(shape.findall(english))
