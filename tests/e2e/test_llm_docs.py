"""The configurations of docs/llm.md are whole ones, and every channel in them fits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comfytavern_hostapp.config import load_config
from comfytavern_llm_nodes.settings import LlmSettings

PACK = "comfytavern-llm-nodes"


@pytest.fixture
def text(repository: Path) -> str:
    """Give the page."""
    return (repository / "docs/llm.md").read_text("utf-8")


def test_every_configuration_fits(text: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block, "utf-8")
        settings = LlmSettings.model_validate(load_config(str(file)).packs.settings[PACK])
        assert settings.rejected == ()


@pytest.mark.parametrize("server", ["Ollama", "llama.cpp", "vLLM", "OpenRouter"])
def test_every_server_has_its_settings(text: str, server: str) -> None:
    section = text.partition(f"\n### {server}\n")[2].partition("\n### ")[0]
    assert "          base_url: http" in section


def test_every_key_of_a_channel_is_told(text: str) -> None:
    table = text.partition("\n## A channel\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `(\w+)` ", table, re.MULTILINE))
    channel = LlmSettings.model_json_schema()["$defs"]["Channel"]["properties"]
    assert told == set(channel)
