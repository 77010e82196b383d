"""The example workflows through ``echo`` and ``openai``: one line of configuration apart."""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_llm_secrets import Provider, provider

__all__ = ("provider",)  # a fixture

CONFIGS = ("examples/config/echo.yaml", "examples/config/openai.yaml")
ADDRESS = "http://127.0.0.1:11434/v1"  # Ollama's
NODES = ("GenericLlmRequest", "OpenAIChat", "OpenAI")


def chat_examples(repository: Path) -> list[Path]:
    """Return the example workflows that ask a model."""
    found = []
    for file in sorted((repository / "examples").glob("*.json")):
        types = [node["type"] for node in json.loads(file.read_text("utf-8"))["nodes"]]
        if any(kind.rpartition(":")[2] in NODES for kind in types):
            found.append(file)
    return found


def run(workflow: Path, config: str, folder: Path) -> list[str]:
    """Run a workflow; return the texts that its model streamed."""
    (folder / "comfytavern.yaml").write_text(f"data_dir: {folder / 'data'}\n{config}", "utf-8")
    command = ["-m", "comfytavern_hostapp", "--config", str(folder / "comfytavern.yaml")]
    done = subprocess.run(
        [sys.executable, *command, "run", str(workflow), "--json", "--events"],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "complete"
    yielded = [
        event["payload"]["yieldedContent"]
        for event in document["events"]
        if event["type"] == "NODE_YIELD"
    ]
    return [chunk["content"] for chunk in yielded if chunk["type"] == "text_chunk"]


def test_one_line_is_the_difference(repository: Path) -> None:
    echo, openai = ((repository / name).read_text("utf-8").splitlines() for name in CONFIGS)
    changes = [line for line in difflib.ndiff(echo, openai) if line[:2] in ("- ", "+ ")]
    assert [line[2:].split("#")[0].strip() for line in changes] == [
        "adapter: echo",
        "adapter: openai",
    ]


@pytest.mark.timeout(60)
def test_examples_stream_through_either(
    repository: Path, provider: Provider, tmp_path: Path
) -> None:
    echo, openai = ((repository / name).read_text("utf-8") for name in CONFIGS)
    assert ADDRESS in openai
    examples = chat_examples(repository)
    assert examples
    for example in examples:
        assert len(run(example, echo, tmp_path)) > 5
    assert provider.headers == []
    for example in examples:
        assert "Hello" in run(example, openai.replace(ADDRESS, provider.url), tmp_path)
    assert len(provider.headers) == len(examples)
