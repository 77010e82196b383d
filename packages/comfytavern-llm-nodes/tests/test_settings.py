"""Channels as an operator writes them, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from comfytavern_llm_nodes.channels import Channel
from comfytavern_llm_nodes.credentials import Secret, SecretError, SecretReference
from comfytavern_llm_nodes.settings import LlmSettings

PLAIN = "sk-plain-key-1234"


KEY = "packs.settings.comfytavern-llm-nodes.channels[0]"


def refusal(**channel: object) -> str:
    """Return what is wrong with the first of two channels; the second works."""
    listed = [{"label": "local", **channel}, {"label": "sound"}]
    settings = LlmSettings.model_validate({"channels": listed})
    assert [kept.label for kept in settings.channels] == ["sound"]
    [rejected] = settings.rejected
    assert rejected.label in ("local", "without label")
    assert PLAIN not in repr(rejected) + repr(settings)
    return str(rejected).removeprefix(KEY)


@pytest.mark.parametrize("block", [{}, {"channels": []}, {"channels": None}])
def test_without_channels_echo_is_the_only_one(block: dict[str, object]) -> None:
    [channel] = LlmSettings.model_validate(block).channels
    assert (channel.label, channel.adapter) == ("echo", "echo")


def test_channel_of_the_design() -> None:
    channel = Channel.model_validate(
        {
            "label": "local",
            "adapter": "openai",
            "base_url": "http://127.0.0.1:11434/v1",
            "api_key": "env:LOCAL_KEY",
            "models": ["llama3"],
            "capabilities": ["llm", "chat"],
        }
    )
    assert channel.api_key == SecretReference("env", "LOCAL_KEY")
    assert channel.model_dump(mode="json")["api_key"] == "env:LOCAL_KEY"


def test_plain_key() -> None:
    said = "this is a plain key; keep it elsewhere and write env:NAME or file:PATH"
    assert refusal(api_key=PLAIN) == f".api_key: {said}"


def test_plain_secret_in_a_header() -> None:
    said = "header 'X-Api-Key' holds a plain secret; write env:NAME or file:PATH"
    assert refusal(headers={"X-Api-Key": PLAIN}) == f".headers: {said}"
    assert "is made from api_key" in refusal(headers={"authorization": "env:KEY"})
    assert "cannot carry" in refusal(headers={"x-title": "a\r\nb: c"})
    assert "cannot name a header" in refusal(headers={"x title": "a"})


def test_headers_may_be_references() -> None:
    channel = Channel(label="a", headers={"api-key": "file:/k"})
    assert channel.headers == {"api-key": SecretReference("file", "/k")}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434/v1"),
        ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
    ],
)
def test_base_url(given: str, read: str) -> None:
    assert Channel(label="a", base_url=given).base_url == read


@pytest.mark.parametrize(
    "given",
    [
        "",
        "localhost:11434",
        "ftp://host/v1",
        "http://",
        "http://host:port/",
        "http://[::1/",
        "http://u:sk-plain-key-1234@host/",
        "http://host/v1?key=sk-plain-key-1234",
    ],
)
def test_base_url_refused(given: str) -> None:
    assert "address" in refusal(base_url=given)


def test_two_channels_of_one_label() -> None:
    block = {"channels": [{"label": "a", "models": "first"}, {"label": "a"}, {"label": "b"}]}
    settings = LlmSettings.model_validate(block)
    assert [(c.label, c.models) for c in settings.channels] == [("a", ("first",)), ("b", ())]
    assert str(settings.rejected[0]).endswith(
        "channels[1].label: an earlier channel has this label; a label names one channel"
    )


def test_every_mistake_of_a_channel_is_named() -> None:
    said = refusal(timeouts={"connect": 0}, modles=["x"], max_concurrent="many")
    assert said == (
        ".timeouts.connect: input should be greater than 0; "
        f"{KEY}.max_concurrent: input should be a valid integer, unable to parse string as an"
        f" integer; {KEY}.modles: extra inputs are not permitted"
    )


def test_something_else_than_a_channel() -> None:
    settings = LlmSettings.model_validate({"channels": [7, {"base_url": "http://h"}]})
    assert [rejected.label for rejected in settings.rejected] == ["without label"] * 2
    assert settings.channels == ()  # and no echo in their place


@pytest.mark.parametrize("block", [{"channels": "all"}, {"chanels": []}, {"channels": {"a": 1}}])
def test_a_block_that_is_none_fails_as_a_whole(block: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LlmSettings.model_validate(block)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"base_url": "nowhere"}, "expected an address"),
        ({"api_key": PLAIN, "base_url": "http://h"}, "expected env:NAME or file:PATH"),
        ({"api_key": "env:K"}, "api_key needs base_url beside it"),
        ({"base_url": "http://h", "api_key": "env:K", "secret": "s"}, "are two keys"),
    ],
)
def test_api_settings_of_the_operator(block: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        LlmSettings.model_validate({"api_settings": block})
    assert PLAIN not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"label": ""},
        {"unknown": 1},
        {"max_concurrent": 0},
        {"timeouts": {"connect": 0}},
        {"api_key": 7},
        {"api_key": "env:"},
        {"headers": {"x": 7}},
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, object]) -> None:
    assert refusal(**fields)


def test_single_names_are_lists_of_one() -> None:
    channel = Channel.model_validate({"label": "a", "models": "llama3", "capabilities": "llm"})
    assert (channel.models, channel.capabilities) == (("llama3",), ("llm",))


def test_a_secret_hides_itself() -> None:
    secret = Secret(PLAIN)
    assert f"{secret} {secret!r} {[secret]}" == "<secret> <secret> [<secret>]"
    assert secret.scrub(f"got {PLAIN}.") == "got <secret>."
    assert Secret('a"b c').scrub('a\\"b c, a%22b%20c') == "<secret>, <secret>"
    assert Secret("abc").scrub("abc") == "abc"  # too short to be told from text
    with pytest.raises(TypeError):
        pickle.dumps(secret)


async def test_headers_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", PLAIN)
    channel = Channel(label="a", api_key=SecretReference("env", "TEST_KEY"))
    headers = await channel.request_headers()
    assert headers.values == {"Authorization": f"Bearer {PLAIN}"}
    assert PLAIN not in repr(headers)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "two lines").write_text("sk-a\nsk-b")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "cannot be read: No such file or directory"),
        ("empty", "is empty"),
        ("binary", "cannot be read: it is no text"),
        ("two lines", "holds characters that a header cannot carry"),
    ],
)
async def test_key_files_that_are_none(files: Path, name: str, said: str) -> None:
    reference = SecretReference.parse(f"file:{files / name}")
    with pytest.raises(SecretError) as caught:
        await reference.read()
    assert str(caught.value) == f"{reference} {said}"


def test_problems_seen_while_loading(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    assert SecretReference("env", "TEST_KEY").problem() == (
        "environment variable 'TEST_KEY' is not set"
    )
    monkeypatch.setenv("TEST_KEY", "x")
    assert SecretReference("env", "TEST_KEY").problem() is None
    assert SecretReference("file", str(files / "empty")).problem() is None
    assert "does not exist" in str(SecretReference("file", str(files / "missing")).problem())
