"""Runner blocks, places of values, what is shown, quantities and secrets."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from comfytavern_hostapp.config import (
    Config,
    SecretReference,
    SecretUnresolvedError,
    build_config,
    describe,
    format_duration,
    format_size,
    key_text,
    load_config,
    locate,
    options,
    parse_duration,
    parse_key,
    parse_size,
    parse_source,
    unresolved_references,
)

from .config_samples import EVERYTHING, NAME, parsed, written


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def test_a_runner_chosen_by_a_flag_leaves_the_other_block_alone() -> None:
    source = parse_source(b"runner: dask\ndask: {a: 1}", NAME)
    assert build_config(source).runner_settings == {"a": 1}
    local = build_config(source, flags={"runner": "local"})
    assert (local.runner, local.runner_settings) == ("local", {})
    assert source.data == {"runner": "dask", "dask": {"a": 1}}


LOCATED = """\
packs:
  settings:
    My_Pack:
      channels:
        - label: a
        - label: b
          base_url: x
runner: dask
dask:
  workers: 2
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("packs.settings.my-pack.channels[1].base_url", "comfytavern.yaml:7"),
        ("packs.settings.My_Pack.channels.1.base_url", "comfytavern.yaml:7"),
        ("packs.settings.my-pack.channels[1].missing", "comfytavern.yaml:6"),
        ("packs.settings.other", "comfytavern.yaml:2"),
        ("dask.workers", "comfytavern.yaml:10"),
        (
            ("packs", "settings", "my.pack", "channels", 0, "some-tag", "label"),
            "comfytavern.yaml:5",
        ),
        (("runner_settings", "workers"), "comfytavern.yaml:10"),
        ("server.port", "environment COMFYTAVERN_SERVER_PORT"),
        ("logs.level", "flag"),
        ("history.keep_runs", "default"),
    ],
)
def test_locate(path: str | tuple[str | int, ...], place: str) -> None:
    config = build_config(
        parse_source(LOCATED.encode(), NAME),
        flags={"logs.level": "error"},
        environment={"COMFYTAVERN_SERVER_PORT": "1"},
    )
    assert locate(config, path) == place


def test_errors_of_a_packs_own_model_have_a_line() -> None:
    class Channel(BaseModel):
        label: str
        base_url: int = 0

    class Settings(BaseModel):
        channels: list[Channel]

    config = parsed(LOCATED)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(config.packs.settings["my-pack"])
    location = caught.value.errors()[0]["loc"]
    assert locate(config, ("packs", "settings", "my-pack", *location)) == "comfytavern.yaml:7"


@given(st.lists(st.text(min_size=1) | st.integers(0, 99), min_size=1).map(tuple))
def test_key_texts_read_back(path: tuple[str | int, ...]) -> None:
    assert parse_key(key_text(path)) == path


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^not a dotted key: 'a\[x\]'$"):
        parse_key("a[x]")


def test_describe_masks_what_may_be_a_secret() -> None:
    config = parsed(
        "packs:\n  settings:\n    my-key:\n"
        "      api_key: sk-hunter2\n      apiKey: sk-hunter2\n      reference: env:KEY\n"
        "      key: env:KEY\n      password: 12345\n      max_tokens: 200\n      token: ''\n"
        "      headers: {Authorization: Bearer hunter2, Accept: 'a\\b'}\n"
        "      tokens: [hunter2, env:A]\n"
        "      url: 'https://me:hunter2@x.example/?api_key=hunter2&q=1'\n"
        '      text: "a\\nb"\n'
        "      empty: {}\n      on: true\n      none: null\n"
        "      mixed: [1, {secret: hunter2}]\n"
    )
    rows = {
        key.removeprefix("packs.settings.my-key."): shown
        for key, shown, _ in describe(config)
        if key.startswith("packs.settings")
    }
    assert rows == {
        "api_key": "<secret>",
        "apiKey": "<secret>",
        "reference": "env:KEY",
        "key": "env:KEY",
        "password": "<secret>",
        "max_tokens": "200",
        "token": "",
        "headers.Authorization": "<secret>",
        "headers.Accept": "a\\b",
        "tokens": "[<secret>, env:A]",
        "url": "https://<secret>@x.example/?api_key=<secret>&q=1",
        "text": '"a\\nb"',
        "empty": "{}",
        "on": "true",
        "none": "null",
        "mixed[0]": "1",
        "mixed[1].secret": "<secret>",
    }


def test_describe_shows_every_key_once(tmp_path: Path) -> None:
    path = written(tmp_path / NAME, EVERYTHING)
    rows = describe(load_config(path, environment={}))
    keys = [key for key, _, _ in rows]
    assert len(set(keys)) == len(keys)
    assert {option.key for option in options()} <= set(keys)
    shown = {key: (value, origin) for key, value, origin in rows}
    assert shown["server.token"] == ("env:COMFYTAVERN_TOKEN", f"file {path}:4")
    assert shown["limits.interrupt_grace"] == ("250ms", f"file {path}:36")
    assert shown["limits.body"] == ("500KiB", f"file {path}:37")
    assert shown["history.keep_days"] == ("1.5", f"file {path}:38")
    assert shown["dask.scheduler"] == ("tcp://127.0.0.1:8786", f"file {path}:27")
    assert shown["aliases.core"][1] == "default"
    assert shown["packs.settings.comfytavern-llm-nodes.channels[0].api_key"] == (
        "env:LOCAL_KEY",
        f"file {path}:20",
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5s", 5), ("250ms", 0.25), ("2m", 120), ("1.5h", 5400), ("1d", 86400), (5, 5), ("5 S", 5)],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "size"),
    [("16MiB", 16 * 1024**2), ("1GiB", 1024**3), ("512KB", 512_000), ("1.5 kib", 1536), (7, 7),
     ("2TB", 2 * 10**12), ("9B", 9)],
)  # fmt: skip
def test_sizes(value: object, size: int) -> None:
    assert parse_size(value) == size


@given(st.integers(0, 10**9))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(
        milliseconds / 1000
    )


@given(st.integers(1, 10**14))
def test_a_written_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_a_reference_resolves_late_and_shows_nothing(tmp_path: Path) -> None:
    file = written(tmp_path / "token", "hunter2\n")
    by_variable = SecretReference("env", "T").resolve({"T": "hunter2"})
    by_file = SecretReference("file", str(file)).resolve()

    for secret in (by_variable, by_file):
        assert secret.reveal() == "hunter2"
        assert secret.matches("hunter2")
        assert not secret.matches("hunter3")
        assert f"{secret} {secret!r} {[secret]}" == "<secret> <secret> [<secret>]"
        with pytest.raises(TypeError, match=r"^a secret cannot be pickled"):
            pickle.dumps(secret)
        with pytest.raises(TypeError, match=r"^a secret cannot be pickled"):
            copy.copy(secret)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file or directory"),
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"hunter2\nmore\n", "the file holds more than one line"),
        (b"hunter\xff", "the file is not UTF-8"),
        (b"x" * 65537, "the file is larger than 65536 bytes"),
    ],
)
def test_a_file_that_gives_no_secret(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretUnresolvedError) as caught:
        SecretReference("file", str(path)).resolve()
    message = f"secret reference 'file:{path}' cannot be resolved: {reason}"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "the variable is not set"),
        ({"T": ""}, "the variable is empty"),
        ({"T": "a\r\nX: y"}, "the variable holds more than one line"),
    ],
)
def test_a_variable_that_gives_no_secret(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(SecretUnresolvedError) as caught:
        SecretReference("env", "T").resolve(environment)
    assert str(caught.value) == f"secret reference 'env:T' cannot be resolved: {reason}"


def test_the_token_may_stand_in_its_own_variable() -> None:
    environment = {"COMFYTAVERN_SERVER_TOKEN": "hunter2"}
    config = parsed("", environment=environment)
    assert config.server.token == SecretReference("env", "COMFYTAVERN_SERVER_TOKEN")
    assert config.server.token.resolve(environment).reveal() == "hunter2"
    assert "hunter2" not in repr(config) + str(describe(config))

    referring = parsed("", environment={"COMFYTAVERN_SERVER_TOKEN": "file:/run/token"})
    assert referring.server.token == SecretReference("file", "/run/token")


def test_an_unresolved_reference_is_told_on_request_only() -> None:
    config = parsed("server:\n  token: env:A\nsecrets:\n  s: {value: env:B, base_urls: [http://b]}")
    assert [str(problem) for problem in unresolved_references(config, {"A": "x"})] == [
        (
            "comfytavern.yaml:4: key 'secrets.s.value': secret reference 'env:B' cannot be"
            " resolved: the variable is not set"
        )
    ]
    assert len(unresolved_references(config, {})) == 2
    assert unresolved_references(Config(), {}) == ()
