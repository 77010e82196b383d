"""Every refusal of a configuration with its whole text, and that nothing else is raised."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from comfytavern_hostapp.config import (
    Config,
    ConfigError,
    build_config,
    describe,
    options,
    parse_source,
)

NAME = "comfytavern.yaml"


def parsed(text: str, **more: dict[str, str]) -> Config:
    return build_config(parse_source(text.encode(), NAME), **more)


def refusal(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigError) as caught:
        build_config(parse_source(data, NAME))
    return [str(problem) for problem in caught.value.problems]


WHOLE = "expected a whole number from"
NOT_TEXT = "expected the name of a distribution, as pip installs it"
SECRET = "expected env:NAME or file:PATH; keep the secret itself there, not here"

REFUSED_KEYS = [
    ("packs:\n  enabld: x", ":2: unknown key 'packs.enabld'; did you mean 'packs.enabled'?"),
    ("\nport: 1", ":2: unknown key 'port'; did you mean 'server.port'?"),
    ("servr: {}", ":1: unknown key 'servr'; did you mean 'server'?"),
    ("logs: {q: 1}", ":1: unknown key 'logs.q'; known here: level, format"),
    ("history: {a.b: 1}", (":1: unknown key 'history[\"a.b\"]'; known here: keep_runs, keep_days,"
     " keep_bytes")),
    ("server: []", ":1: key 'server' is a list; expected a mapping"),
    ("server: {port: 65536}", f":1: key 'server.port' is 65536; {WHOLE} 0 to 65535"),
    ("server: {port: -1}", f":1: key 'server.port' is -1; {WHOLE} 0 to 65535"),
    ("server: {port: true}", f":1: key 'server.port' is true; {WHOLE} 0 to 65535"),
    ("server: {port: 80.5}", f":1: key 'server.port' is 80.5; {WHOLE} 0 to 65535"),
    ("server: {port: }", f":1: key 'server.port' is empty; {WHOLE} 0 to 65535"),
    ("server: {port: {a: b}}", f":1: key 'server.port' is a mapping; {WHOLE} 0 to 65535"),
    ("server: {host: 1}", ":1: key 'server.host' is 1; expected a host name or an address"),
    ('server: {host: "a\\r\\nb: c"}', (":1: key 'server.host' holds a line break or a NUL;"
     " expected a host name or an address")),
    ('server: {root_path: "/a\\0"}', (":1: key 'server.root_path' holds a line break or a NUL;"
     " expected a path such as /tavern")),
    ("server: {root_path: a/}", (":1: key 'server.root_path' is 'a/'; expected a path such as"
     " /tavern, with no slash at its end, or ''")),
    ("server: {allowed_hosts: [a, 'http://b']}", (":1: key 'server.allowed_hosts[1]' is"
     " 'http://b'; expected a host name or an address, with or without a port")),
    ("server: {allowed_hosts: a}", ":1: key 'server.allowed_hosts' is 'a'; expected a list"),
    ("server: {allowed_origins: ['null']}", (":1: key 'server.allowed_origins[0]' is no such URL;"
     " expected an origin such as https://tavern.example:8443, without a path")),
    ("server: {allowed_origins: ['http://a/b']}", (":1: key 'server.allowed_origins[0]' is"
     " 'http://a/b'; expected an origin such as https://tavern.example:8443, without a path")),
    ("server: {token: hunter2}", f":1: key 'server.token' is no reference to a secret; {SECRET}"),
    ("server: {token: 12345}", f":1: key 'server.token' is no reference to a secret; {SECRET}"),
    ("server: {token: env:hunter-2}", (":1: key 'server.token' is no reference to a secret;"
     f" {SECRET}")),
    ('server: {token: "env:A\\r\\nX: y"}', (":1: key 'server.token' is no reference to a secret;"
     f" {SECRET}")),
    ("server: {token: ''}", f":1: key 'server.token' is empty; {SECRET}"),
    ("secrets: {a: hunter2}", ":1: key 'secrets.a' is a text; expected a mapping"),
    ("secrets: {a: {value: hunter2, base_urls: [http://b]}}",
     f":1: key 'secrets.a.value' is no reference to a secret; {SECRET}"),
    ("secrets:\n  a:\n    value: env:A", ":2: key 'secrets.a.base_urls' is missing"),
    ("secrets: {a: {value: env:A, base_urls: []}}", (":1: key 'secrets.a.base_urls' is a list;"
     " expected a list of at least one base URL; the secret is sent nowhere else")),
    ("secrets: {a: {value: env:A, base_urls: ['ftp://b']}}", (":1: key 'secrets.a.base_urls[0]' is"
     " no such URL; expected a base URL such as https://api.example/v1")),
    ("secrets: {a: {value: env:A, base_urls: ['http://u:hunter2@b']}}",
     (":1: key 'secrets.a.base_urls[0]' holds a user name or a password;"
     " expected a base URL such as https://api.example/v1")),
    ("data_dir: 5", ":1: key 'data_dir' is 5; expected the path of a directory"),
    ("data_dir: ~nobody-of-this-name/x", (":1: key 'data_dir' is '~nobody-of-this-name/x';"
     " expected a path with a home directory that exists")),
    ("packs: {enabled: }", (":1: key 'packs.enabled' is empty; expected '*' or a list of"
     " distribution names")),
    ("packs: {enabled: my-pack}", (":1: key 'packs.enabled' is 'my-pack'; expected '*' or a list of"
     " distribution names")),
    ("packs: {enabled: ['*']}", (":1: key 'packs.enabled' is a list that holds '*'; expected '*' or"
     " a list of distribution names")),
    ("packs:\n  enabled:\n    - a\n    - 5", f":4: key 'packs.enabled[1]' is 5; {NOT_TEXT}"),
    ("packs:\n  disabled: ['a b']", f":2: key 'packs.disabled[0]' is 'a b'; {NOT_TEXT}"),
    ("packs: {lazy: maybe}", ":1: key 'packs.lazy' is 'maybe'; expected true or false"),
    ("packs: {namespaces: {a: ''}}", f":1: key 'packs.namespaces.a' is ''; {NOT_TEXT}"),
    ("packs: {namespaces: {'a:b': c}}", (":1: key 'packs.namespaces.a:b' is named 'a:b';"
     " expected a name of letters, digits, '.', '_' and '-'")),
    ("packs: {settings: {a: 5}}", ":1: key 'packs.settings.a' is 5; expected a mapping"),
    ("packs:\n  settings:\n    a_b: {}\n    A.b: {}", (":2: key 'packs.settings' holds both 'a_b'"
     " and 'A.b'; expected each distribution once")),
    ("aliases: {a: b}", ":1: key 'aliases.a' is 'b'; expected a list"),
    ("resources: {roots: {a: 1}}", (":1: key 'resources.roots.a' is 1;"
     " expected the path of a directory")),
    ("http: {allow: [10.1.0.0/8]}", (":1: key 'http.allow[0]' is '10.1.0.0/8'; expected a host"
     " name, an address or a range such as 10.0.0.0/8, with no bit set behind the prefix")),
    ("http: {allow: ['nas:80']}", (":1: key 'http.allow[0]' is 'nas:80'; expected a host name, an"
     " address or a range such as 10.0.0.0/8, without a port")),
    ("runner: server", (":1: key 'runner' is 'server', which is a key of this file;"
     " expected the name of a runner")),
    ("runner: dask\ndask: 5", ":2: key 'dask' is 5; expected a mapping"),
    ("runner_settings: {}", (":1: unknown key 'runner_settings'; a runner's block is named as the"
     " runner")),
    ("local: {}", (":1: unknown key 'local'; known here: server, data_dir, packs, aliases, secrets,"
     " resources, http, runner, limits, history, logs")),
    ("limits: {threads: 0}", f":1: key 'limits.threads' is 0; {WHOLE} 1 to 1024"),
    ("limits: {queued_runs: -1}", f":1: key 'limits.queued_runs' is -1; {WHOLE} 0 to 1000000000"),
    ("limits: {group_depth: 257}", f":1: key 'limits.group_depth' is 257; {WHOLE} 1 to 256"),
    ("limits: {interrupt_grace: 5 parsecs}", (":1: key 'limits.interrupt_grace' is '5 parsecs';"
     " expected a duration such as 250ms, 5s or 2m")),
    ("limits: {interrupt_grace: -5}", (":1: key 'limits.interrupt_grace' is -5;"
     " expected a duration such as 250ms, 5s or 2m")),
    ("limits: {body: 0}", ":1: key 'limits.body' is 0; expected a size of at least one byte"),
    ("limits: {body: .inf}", (":1: key 'limits.body' is inf;"
     " expected a size such as 512KB, 16MiB or 1GiB")),
    ("history: {keep_days: 0}", (":1: key 'history.keep_days' is 0;"
     " expected a number of days, more than 0 and at most 36500")),
    ("logs: {level: loud}", (":1: key 'logs.level' is 'loud';"
     " expected one of debug, info, warning, error")),
    ("logs: {format: 1}", ":1: key 'logs.format' is 1; expected one of text, json"),
    ("a" * 70 + ": 1", ":1: unknown key '" + "a" * 70 + "'; known here: server, data_dir, packs,"
     " aliases, secrets, resources, http, runner, limits, history, logs"),
    ("logs: {level: " + "x" * 70 + "}", ":1: key 'logs.level' is '" + "x" * 57 + "...';"
     " expected one of debug, info, warning, error"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED_KEYS)
def test_each_fault_has_one_message_with_its_place(text: str, message: str) -> None:
    assert refusal(text) == [NAME + message]


REFUSED_TEXTS: list[tuple[str | bytes, str]] = [
    ("packs: [a", (":1:10: not YAML: expected ',' or ']', but got '<stream end>'"
     " (while parsing a flow sequence, line 1)")),
    ("a: b: c", ":1:5: not YAML: mapping values are not allowed here"),
    ("a: *b", ":1:4: not YAML: found undefined alias 'b'"),
    ("packs:\n\tlazy: true", ":2:1: a tab cannot indent YAML; use spaces"),
    ("a: 1\n---\nb: 2", ":2:1: a second document begins here; the configuration is one document"),
    ("- a", ":1:1: the file holds a list; expected a mapping of keys"),
    ("hello", ":1:1: the file holds a single value; expected a mapping of keys"),
    (b"a: 1\nb: \xff", ":2:4: not UTF-8: byte 0xff; save the file as UTF-8"),
    ("a: 1\nb: \x01", ":2:4: character U+0001 cannot stand in YAML; remove it"),
    ('a: "\\UFFFFFFFF"', ":1: not YAML: an escape that names no character"),
    ("[" * 100_000, ":1:41: nested deeper than 40 levels"),
    ("a: [" + "0," * 50_000 + "]", ":1:99999: more than 50000 values"),
    ("a: &x [*x]", ":1:4: an alias holds itself, or nests too deep"),
    ("a: &x {<<: *x}", ":1:8: an alias holds itself, or nests too deep"),
    ("a0: &a0 [0,0,0,0,0,0,0,0,0,0]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
     ":1:5: more than 50000 values once aliases are followed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED_TEXTS, ids=range(len(REFUSED_TEXTS)))
def test_a_text_that_is_no_configuration_has_one_message(text: str | bytes, message: str) -> None:
    assert refusal(text) == [NAME + message]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "packs:\n  lazy: true\n  lazy: false\npacks: {}",
            [
                ":3: key 'packs.lazy' is written twice; the first is on line 2",
                ":4: key 'packs' is written twice; the first is on line 1",
            ],
        ),
        ("packs: {settings: {a: {1: x}}}", [
            ":1: key '1' in 'packs.settings.a' is not text; put it in quotes"]),
        ("? [a]\n: b", [":1: key 'a collection' at the top level is not text; put it in quotes"]),
        ("packs: {settings: {a: {b: !!python/name:os.system c}}}", [
            ":1: key 'packs.settings.a.b' has the tag '!!python/name:os.system'; remove the tag"]),
        ("packs: {settings: {a: !x {b: 1}}}", [
            ":1: key 'packs.settings.a' has the tag '!x'; remove the tag"]),
        ("packs: {settings: {a: {b: 0x" + "f" * 40 + "}}}", [
            ":1: key 'packs.settings.a.b' holds a number that cannot be read"]),
        ('packs: {settings: {a: {b: "\\uD800"}}}', [
            ":1: key 'packs.settings.a.b' holds half a character"]),
        ("packs: {settings: {a: {<<: 5}}}", [":1: merge key '<<' holds no mapping"]),
    ],
)  # fmt: skip
def test_keys_that_yaml_allows_and_we_do_not(text: str, messages: list[str]) -> None:
    assert refusal(text) == [NAME + message for message in messages]


def test_all_problems_come_at_once_in_file_order() -> None:
    text = "logs: {level: loud}\nserver: {port: x, prot: 1}\npacks: {lazy: 1, lazy: 2}\n"
    assert [line.partition(";")[0] for line in refusal(text)] == [
        "comfytavern.yaml:1: key 'logs.level' is 'loud'",
        "comfytavern.yaml:2: key 'server.port' is 'x'",
        "comfytavern.yaml:2: unknown key 'server.prot'",
        "comfytavern.yaml:3: key 'packs.lazy' is 1",
        "comfytavern.yaml:3: key 'packs.lazy' is written twice",
    ]


def test_a_long_list_of_problems_is_cut_when_shown() -> None:
    text = "".join(f"key{number}: 1\n" for number in range(60))
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    lines = str(caught.value).splitlines()
    assert len(caught.value.problems) == 60
    assert (lines[0], len(lines)) == ("the configuration has 60 problems", 52)
    assert lines[-1] == "  and 10 more"


def test_a_problem_keeps_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parsed("server:\n  port: x\n")
    (problem,) = caught.value.problems
    assert problem.origin is not None
    assert (problem.origin.line, problem.origin.column, problem.key) == (2, 3, "server.port")


def test_a_secret_in_the_file_shows_in_no_error() -> None:
    with pytest.raises(ConfigError) as caught:
        parsed("server: {token: hunter2, port: x}\nsecrets: {a: {value: hunter2}, b: hunter2}")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_merge_keys_and_aliases_are_followed() -> None:
    config = parsed(
        "packs:\n  settings:\n    a: &base {x: 1, y: 2}\n    b:\n      <<: *base\n      y: 3\n"
        "    c: {<<: [{z: 4}, *base]}\n    d: *base\n"
    )
    assert config.packs.settings["b"] == {"x": 1, "y": 3}
    assert config.packs.settings["c"] == {"x": 1, "y": 2, "z": 4}
    assert config.packs.settings["d"] == {"x": 1, "y": 2}


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "[no, 012, 8:21, 1_000, 2024-01-01, 0o17, 0x1f, 1e3, .5, ~, '5', !!str 5, <<]"
    config = parsed(f"packs: {{settings: {{a: {{b: {text}}}}}}}")
    assert config.packs.settings["a"]["b"] == [
        "no", 12, "8:21", "1_000", "2024-01-01", 15, 31, 1000.0, 0.5, None, "5", "5", "<<",
    ]  # fmt: skip


PIECES = st.sampled_from(
    ["packs", "server", "port", "token", "enabled", "settings", "runner", ": ", ":\n  ", "- ", "\n",
     "[", "]", "{", "}", ",", "*", "&a ", "*a", "<<: ", "!!int ", "!!float ", '"', "'", "|", ">",
     "\\U", "\t", "~", "0x", "1e999", ".nan", "---", "%YAML 3", "?", "# ", "\x00", "\x85"]
)  # fmt: skip


def survives(data: bytes) -> None:
    try:
        config = build_config(parse_source(data, NAME))
    except ConfigError as exc:
        lines = [str(problem) for problem in exc.problems]
    else:
        lines = [key for key, _, _ in describe(config)]
    assert lines
    assert not any("\n" in line for line in lines)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    survives(data)


@given(st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join))
def test_arbitrary_pieces_of_yaml_raise_nothing_else(text: str) -> None:
    survives(text.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
BLOCKS = st.sampled_from(sorted(Config.model_fields))
KEYS = st.sampled_from([*sorted({option.path[-1] for option in options()}), "settings", "roots"])


@given(st.dictionaries(BLOCKS, st.dictionaries(KEYS, JSON) | JSON))
def test_arbitrary_values_raise_nothing_else(data: dict[str, object]) -> None:
    survives(yaml.safe_dump(data, allow_unicode=True).encode())
