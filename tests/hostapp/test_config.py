"""The configuration: precedence, origins, every refusal with its whole text, secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from comfytavern.errors import HostError
from comfytavern_hostapp import config as config_package
from comfytavern_hostapp.config import (
    Config,
    ConfigError,
    SecretReference,
    build_config,
    describe,
    find_config,
    load_config,
    options,
    parse_source,
)

from .config_samples import EVERYTHING, NAME, parsed, written


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def origins(config: Config) -> dict[str, str]:
    return {key: origin for key, _, origin in describe(config)}


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    config = load_config(environment={}, directory=tmp_path)

    assert config == Config()
    assert config.path is None
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8321)
    assert config.server.token is None
    assert config.data_dir == tmp_path / "home" / "comfytavern"
    assert config.packs.enabled == "*"
    assert config.aliases == {"core": ("comfytavern-core-nodes", "comfytavern-llm-nodes")}
    assert config.limits.body == 16 * 1024**2
    assert config.history.keep_bytes == 1024**3
    assert set(origins(config).values()) == {"default"}


def test_every_block_is_parsed(tmp_path: Path) -> None:
    config = load_config(written(tmp_path / NAME, EVERYTHING), environment={})

    assert config.path == tmp_path / NAME
    assert config.server.model_dump() == {
        "host": "0.0.0.0",
        "port": 9000,
        "token": {"kind": "env", "name": "COMFYTAVERN_TOKEN"},
        "allowed_hosts": ("tavern.example", "tavern.example:8443", "[::1]:9000"),
        "allowed_origins": ("https://tavern.example:8443",),
        "root_path": "/tavern",
    }
    assert config.data_dir == tmp_path / "state"
    assert config.packs.model_dump() == {
        "enabled": ("comfytavern-core-nodes", "other-pack"),
        "disabled": ("bad-pack",),
        "lazy": True,
        "bypass": ("other-pack",),
        "namespaces": {"short": "other-pack"},
        "settings": {
            "comfytavern-llm-nodes": {
                "channels": [
                    {
                        "label": "local",
                        "base_url": "http://127.0.0.1:11434/v1",
                        "api_key": "env:LOCAL_KEY",
                    }
                ]
            }
        },
    }
    assert config.aliases["rp"] == ("other-pack",)
    assert config.aliases["core"] == ("comfytavern-core-nodes", "comfytavern-llm-nodes")
    assert config.secrets["search"].value == SecretReference("file", str(tmp_path / "search.txt"))
    assert config.secrets["search"].base_urls == ("https://api.example/v1",)
    assert config.resources.roots == {
        "cards": tmp_path / "cards",
        "home": tmp_path / "home" / "cards",
    }
    assert config.http.allow == ("10.0.0.0/8", "::1", "nas.local")
    assert (config.runner, config.runner_settings) == (
        "dask",
        {"scheduler": "tcp://127.0.0.1:8786"},
    )
    assert tuple(config.limits.model_dump().values()) == (2, 0, 8, 3, 4, 5, 6, 0.25, 512_000)
    assert tuple(config.history.model_dump().values()) == (7, 1.5, 2 * 1024**3)
    assert tuple(config.logs.model_dump().values()) == ("debug", "json")


def test_a_config_is_frozen() -> None:
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.server.port = 1  # type: ignore[misc]  # the point


@pytest.mark.parametrize(
    "text", ["", "\n", "# only comments\n", "---\n", "~\n", "\ufeffrunner: local"]
)
def test_a_file_may_say_nothing(text: str) -> None:
    assert parsed(text).model_dump() == Config().model_dump()


def test_null_is_nothing_said_for_blocks_and_lists() -> None:
    text = (
        "server:\npacks:\n  disabled:\n  settings:\n    a:\naliases:\nsecrets:\n"
        "resources:\n  roots:\nhttp:\n  allow:\nlimits:\nhistory:\nlogs:\n"
    )
    config = parsed(text)
    assert config.packs.settings == {"a": {}}
    assert config.packs.disabled == ()
    assert config.aliases == Config().aliases


def test_aliases_are_keys_of_their_own() -> None:
    assert parsed("aliases: {core: []}").aliases == {"core": ()}


@pytest.mark.parametrize(
    ("enabled", "disabled", "name", "allowed"),
    [
        ('"*"', "[]", "any-pack", True),
        ('"*"', "[Any_Pack]", "any.pack", False),
        ("[any_pack]", "[]", "Any-Pack", True),
        ("[other]", "[]", "any-pack", False),
        ("[any-pack]", "[any-pack]", "any-pack", False),
        ("[]", "[]", "comfytavern-core-nodes", False),
    ],
)
def test_packs_allow(enabled: str, disabled: str, name: str, allowed: bool) -> None:
    config = parsed(f"packs: {{enabled: {enabled}, disabled: {disabled}}}")
    assert config.packs.allows(name) is allowed


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = written(
        tmp_path / NAME, "server:\n  host: ::1\n  port: 1\n  root_path: /a\nlogs: {level: info}\n"
    )
    config = load_config(
        path,
        flags={"server.port": 3, "logs.level": None},
        environment={"COMFYTAVERN_SERVER_PORT": "2", "COMFYTAVERN_SERVER_ROOT_PATH": ""},
    )

    assert (config.server.host, config.server.port, config.server.root_path) == ("::1", 3, "")
    shown = origins(config)
    assert shown["server.host"] == f"file {path}:2"
    assert shown["server.port"] == "flag"
    assert shown["server.root_path"] == "environment COMFYTAVERN_SERVER_ROOT_PATH"
    assert shown["server.token"] == "default"
    assert shown["logs.level"] == f"file {path}:5"


def test_the_environment_knows_each_key_that_is_no_mapping() -> None:
    assert [option.variable for option in options()] == [
        "COMFYTAVERN_SERVER_HOST",
        "COMFYTAVERN_SERVER_PORT",
        "COMFYTAVERN_SERVER_TOKEN",
        "COMFYTAVERN_SERVER_ALLOWED_HOSTS",
        "COMFYTAVERN_SERVER_ALLOWED_ORIGINS",
        "COMFYTAVERN_SERVER_ROOT_PATH",
        "COMFYTAVERN_DATA_DIR",
        "COMFYTAVERN_PACKS_ENABLED",
        "COMFYTAVERN_PACKS_DISABLED",
        "COMFYTAVERN_PACKS_LAZY",
        "COMFYTAVERN_PACKS_BYPASS",
        "COMFYTAVERN_HTTP_ALLOW",
        "COMFYTAVERN_RUNNER",
        "COMFYTAVERN_LIMITS_CONCURRENT_RUNS",
        "COMFYTAVERN_LIMITS_QUEUED_RUNS",
        "COMFYTAVERN_LIMITS_NODES_IN_PARALLEL",
        "COMFYTAVERN_LIMITS_THREADS",
        "COMFYTAVERN_LIMITS_STREAM_BUFFER",
        "COMFYTAVERN_LIMITS_STREAM_OVERFLOW",
        "COMFYTAVERN_LIMITS_GROUP_DEPTH",
        "COMFYTAVERN_LIMITS_INTERRUPT_GRACE",
        "COMFYTAVERN_LIMITS_BODY",
        "COMFYTAVERN_HISTORY_KEEP_RUNS",
        "COMFYTAVERN_HISTORY_KEEP_DAYS",
        "COMFYTAVERN_HISTORY_KEEP_BYTES",
        "COMFYTAVERN_LOGS_LEVEL",
        "COMFYTAVERN_LOGS_FORMAT",
    ]


@pytest.mark.parametrize(
    ("environment", "enabled", "disabled"),
    [
        ({"COMFYTAVERN_PACKS": ""}, (), ("x",)),
        ({"COMFYTAVERN_PACKS": "*"}, "*", ("x",)),
        ({"COMFYTAVERN_PACKS": "A_b, c"}, ("a-b", "c"), ("x",)),
        ({"COMFYTAVERN_PACKS_ENABLED": "a"}, ("a",), ("x",)),
        ({"COMFYTAVERN_PACKS_ENABLED": "a", "COMFYTAVERN_PACKS": ""}, (), ("x",)),
        ({"COMFYTAVERN_PACKS_DISABLED": ""}, ("from-file",), ()),
        ({"COMFYTAVERN_PACKS_DISABLED": "a,b,"}, ("from-file",), ("a", "b")),
    ],
)
def test_packs_from_the_environment(
    environment: dict[str, str], enabled: object, disabled: object
) -> None:
    config = parsed("packs: {enabled: [from-file], disabled: [x]}", environment=environment)
    assert (config.packs.enabled, config.packs.disabled) == (enabled, disabled)


def test_values_from_the_environment_are_parsed_as_in_the_file() -> None:
    environment = {
        "COMFYTAVERN_SERVER_PORT": "0",
        "COMFYTAVERN_SERVER_HOST": "",
        "COMFYTAVERN_PACKS_LAZY": "on",
        "COMFYTAVERN_LIMITS_BODY": "1MiB",
        "COMFYTAVERN_LIMITS_INTERRUPT_GRACE": "2.5",
        "COMFYTAVERN_HISTORY_KEEP_DAYS": "2",
    }
    config = parsed("server: null\npacks:\n", environment=environment)
    assert (config.server.port, config.server.host, config.packs.lazy) == (0, "127.0.0.1", True)
    assert (config.limits.body, config.limits.interrupt_grace) == (1024**2, 2.5)
    assert config.history.keep_days == 2


def test_a_misspelt_variable_is_a_warning() -> None:
    environment = {
        "COMFYTAVERN_SERVER_PROT": "1",
        "COMFYTAVERN_TOKEN": "hunter2",
        "COMFYTAVERN_CONFIG": "",
        "COMFYTAVERN_PACKS": "*",
    }
    assert parsed("", environment=environment).warnings == (
        "variable 'COMFYTAVERN_SERVER_PROT' sets nothing; did you mean 'COMFYTAVERN_SERVER_PORT'?",
    )


def test_flags_take_texts_lists_and_values() -> None:
    config = build_config(
        parse_source(b"", NAME),
        flags={"packs.disabled": "a,B_c", "http.allow": ("::1",), "data_dir": Path("/srv/x")},
    )
    assert config.packs.disabled == ("a", "b-c")
    assert config.http.allow == ("::1",)
    assert config.data_dir == Path("/srv/x")


def test_problems_of_flags_and_variables_name_their_source() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(
            parse_source(b"server: {host: 'a b'}", NAME),
            flags={"server.prot": 1, "server.port": "x", "server.token": "hunter2"},
            environment={"COMFYTAVERN_LIMITS_THREADS": "0"},
        )
    assert str(caught.value) == "\n  ".join(
        [
            "the configuration has 5 problems",
            (
                "comfytavern.yaml:1: key 'server.host' is 'a b';"
                " expected a host name or an address, without a port"
            ),
            "flag: no flag sets the key 'server.prot'; did you mean 'server.port'?",
            "flag: key 'server.port' is 'x'; expected a whole number from 0 to 65535",
            (
                "flag: key 'server.token' is no reference to a secret;"
                " expected env:NAME or file:PATH; keep the secret itself there, not here"
            ),
            (
                "environment COMFYTAVERN_LIMITS_THREADS: key 'limits.threads' is '0';"
                " expected a whole number from 1 to 1024"
            ),
        ]
    )
    assert isinstance(caught.value, HostError)
    assert caught.value.code == "config_invalid"


def test_the_file_is_found_in_order(tmp_path: Path) -> None:
    work, variable = tmp_path / "work", {"COMFYTAVERN_CONFIG": str(tmp_path / "variable.yaml")}
    work.mkdir()
    flag = written(tmp_path / "flag.yaml", "")
    assert find_config(environment={}, directory=work) is None

    user = written(tmp_path / "xdg" / "comfytavern" / NAME, "")
    assert find_config(environment={}, directory=work) == user
    here = written(work / NAME, "")
    assert find_config(environment={"COMFYTAVERN_CONFIG": ""}, directory=work) == here
    named = written(tmp_path / "variable.yaml", "")
    assert find_config(environment=variable, directory=work) == named
    assert find_config(flag, environment=variable, directory=work) == flag


def test_the_working_directory_is_shown_as_the_user_sees_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written(tmp_path / NAME, "prot: 1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^comfytavern\.yaml:1: unknown key 'prot'; known here"):
        load_config(environment={})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError) as by_flag:
        load_config(missing, environment={})
    with pytest.raises(ConfigError) as by_variable:
        load_config(environment={"COMFYTAVERN_CONFIG": missing})
    with pytest.raises(ConfigError) as directory:
        load_config(tmp_path, environment={})
    assert [str(caught.value) for caught in (by_flag, by_variable, directory)] == [
        f"config file '{missing}' of flag '--config' does not exist",
        f"config file '{missing}' of variable 'COMFYTAVERN_CONFIG' does not exist",
        f"config file '{tmp_path}' of flag '--config' is a directory",
    ]


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / NAME, "#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment={})
    assert str(caught.value) == f"config file '{path}' is larger than 1048576 bytes"


def test_public_names_exist_in_order() -> None:
    names = config_package.__all__
    assert isinstance(names, tuple)
    assert all(hasattr(config_package, name) for name in names)
    assert len(set(names)) == len(names)
