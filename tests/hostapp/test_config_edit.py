"""Enabling and disabling packs: the file before and after, byte for byte."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytavern_hostapp.config import (
    ConfigError,
    build_config,
    disable_pack,
    enable_pack,
    parse_source,
)

COMMENTED = """\
# the host of the tavern
server: { host: "127.0.0.1",   port: 8321 }   # spaces as they are

packs:
  # which packs run
  enabled:            # by name
      - 'first-pack'  # quoted
      # the second one
      - second-pack
  # which do not
  disabled:
  - bad-pack   # it crashes
  - worse-pack

  # settings follow
  settings: {first-pack: {a: 1}}

# the end
logs: {level: info}
"""

DISABLED = [
    ("", "packs:\n  disabled: [x]\n"),
    ("# only a comment", "# only a comment\npacks:\n  disabled: [x]\n"),
    ("runner: local\n", "runner: local\npacks:\n  disabled: [x]\n"),
    ("  runner: local\n", "  runner: local\n  packs:\n    disabled: [x]\n"),
    ("{runner: local}\n", "{runner: local, packs: {disabled: [x]}}\n"),
    ("{}\n", "{packs: {disabled: [x]}}\n"),
    ("packs:\nrunner: local\n", "packs: {disabled: [x]}\nrunner: local\n"),
    ("packs:   # none\n", "packs: {disabled: [x]}   # none\n"),
    ("packs: null # none\n", "packs: {disabled: [x]} # none\n"),
    ("packs: {}\n", "packs: {disabled: [x]}\n"),
    ('packs: {enabled: "*"}\n', 'packs: {enabled: "*", disabled: [x]}\n'),
    ('packs:\n  enabled: "*"  # all\n  # lazily\n  lazy: true\n',
     'packs:\n  enabled: "*"  # all\n  disabled: [x]\n  # lazily\n  lazy: true\n'),
    (("packs:\n  lazy: true\n  settings:\n    a:\n      b: |\n        text\n"
     "\n# end\nrunner: local\n"),
     ("packs:\n  lazy: true\n  settings:\n    a:\n      b: |\n        text\n  disabled: [x]\n"
     "\n# end\nrunner: local\n")),
    ("packs:\n  lazy: true", "packs:\n  lazy: true\n  disabled: [x]"),
    ("packs:\n  disabled:  # none\n", "packs:\n  disabled: [x]  # none\n"),
    ("packs:\n  disabled: ~\n", "packs:\n  disabled: [x]\n"),
    ("packs:\n  disabled: [ ]  # none\n", "packs:\n  disabled: [x ]  # none\n"),
    ("packs: {disabled: [a, 'b'], lazy: true}\n", "packs: {disabled: [a, 'b', x], lazy: true}\n"),
    ("packs:\n  disabled: [\n    a,  # one\n    b,  # two\n  ]\n",
     "packs:\n  disabled: [\n    a,  # one\n    b, x,  # two\n  ]\n"),
    ("packs:\n  disabled:\n  - a # one\n  # not x\nrunner: local",
     "packs:\n  disabled:\n  - a # one\n  - x\n  # not x\nrunner: local"),
    ("packs:\n  disabled:\n    -   a", "packs:\n  disabled:\n    -   a\n    -   x"),
    ("packs:\r\n  disabled:\r\n    - a\r\n", "packs:\r\n  disabled:\r\n    - a\r\n    - x\r\n"),
    ("\ufeffpacks:\n  disabled: [a]\n", "\ufeffpacks:\n  disabled: [a, x]\n"),
    ("packs: {enabled: [x], disabled: []}\n", "packs: {enabled: [], disabled: [x]}\n"),
    ("packs: {enabled: [a, X, x], disabled: []}\n", "packs: {enabled: [a], disabled: [x]}\n"),
    ("packs:\n  enabled:  # these\n  - x  # gone\n  # kept\nrunner: local\n",
     "packs:\n  enabled: []  # these\n  disabled: [x]\n  # kept\nrunner: local\n"),
    ("packs: {enabled: [x, a], disabled: [x]}\n", "packs: {enabled: [a], disabled: [x]}\n"),
    ('"packs":\n  "disabled": [a]\n', '"packs":\n  "disabled": [a, x]\n'),
    ("---\npacks:\n  disabled: [a]\n", "---\npacks:\n  disabled: [a, x]\n"),
]  # fmt: skip

ENABLED = [
    ("packs: {disabled: [x]}\n", "packs: {disabled: []}\n"),
    ("packs: {disabled: [X, a]}  # c\n", "packs: {disabled: [a]}  # c\n"),
    ("packs: {disabled: [a, x]}\n", "packs: {disabled: [a]}\n"),
    ("packs: {disabled: [a, x, ]}\n", "packs: {disabled: [a, ]}\n"),
    ("packs: {disabled: [x, ]}\n", "packs: {disabled: [ ]}\n"),
    ("packs:\n  disabled: [\n    a,  # one\n    x\n  ]\n",
     "packs:\n  disabled: [\n    a,  # one\n    \n  ]\n"),
    ("packs:\n  disabled:\n  - a\n  # about x\n  - x # bad\n  # after\n  - b\n",
     "packs:\n  disabled:\n  - a\n  # about x\n  # after\n  - b\n"),
    ("packs:\n  disabled:\n  - x", "packs:\n  disabled: []\n"),
    ("packs:\n  disabled:\n  - 'x'\n  - \"X\"\n  lazy: true\n",
     "packs:\n  disabled: []\n  lazy: true\n"),
    ("packs: {enabled: [a]}\n", "packs: {enabled: [a, x]}\n"),
    ("packs: {enabled: []}\n", "packs: {enabled: [x]}\n"),
    ("packs:\n  enabled:\n", "packs:\n  enabled: [x]\n"),
    ("packs:\n  enabled:\n    - a\n  disabled:\n    - x\n    - b\n",
     "packs:\n  enabled:\n    - a\n    - x\n  disabled:\n    - b\n"),
]  # fmt: skip


def edited(tmp_path: Path, before: str) -> Path:
    path = tmp_path / "comfytavern.yaml"
    path.write_bytes(before.encode())
    return path


@pytest.mark.parametrize(("before", "after"), DISABLED)
def test_disabling(tmp_path: Path, before: str, after: str) -> None:
    path = edited(tmp_path, before)
    assert disable_pack(path, "X")
    assert path.read_bytes().decode() == after
    assert not build_config(parse_source(path.read_bytes(), "")).packs.allows("x")
    assert not disable_pack(path, "x")
    assert path.read_bytes().decode() == after


@pytest.mark.parametrize(("before", "after"), ENABLED)
def test_enabling(tmp_path: Path, before: str, after: str) -> None:
    path = edited(tmp_path, before)
    assert enable_pack(path, "X")
    assert path.read_bytes().decode() == after
    assert build_config(parse_source(path.read_bytes(), "")).packs.allows("x")
    assert not enable_pack(path, "x")
    assert path.read_bytes().decode() == after


def test_comments_order_quotes_and_spaces_survive(tmp_path: Path) -> None:
    path = edited(tmp_path, COMMENTED)
    assert disable_pack(path, "Second.Pack")
    assert enable_pack(path, "worse_pack")
    assert path.read_text() == COMMENTED.replace("      - second-pack\n", "").replace(
        "  - worse-pack\n", "  - second-pack\n"
    ).replace("      # the second one\n", "      - worse-pack\n      # the second one\n")


@pytest.mark.parametrize("before", ["", "packs:\n", 'packs: {enabled: "*"}\n', "logs: {}\n"])
def test_enabling_what_runs_already_changes_nothing(tmp_path: Path, before: str) -> None:
    path = edited(tmp_path, before)
    assert not enable_pack(path, "x")
    assert path.read_text() == before


def test_a_missing_file_is_made_only_when_it_says_something(tmp_path: Path) -> None:
    path = tmp_path / "config" / "deep" / "comfytavern.yaml"
    assert not enable_pack(path, "x")
    assert not path.parent.exists()
    assert disable_pack(path, "Some_Pack")
    assert path.read_text() == "packs:\n  disabled: [some-pack]\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path = edited(tmp_path, "")
    path.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    assert disable_pack(link, "x")
    assert link.is_symlink()
    assert path.read_text() == "packs:\n  disabled: [x]\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["comfytavern.yaml", "link.yaml"]


def test_a_failed_write_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = edited(tmp_path, "packs: {}\n")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigError) as caught:
        disable_pack(path, "x")
    message = f"config file '{path}' cannot be written: no space left on device"
    assert str(caught.value) == message
    assert os.listdir(tmp_path) == ["comfytavern.yaml"]
    assert path.read_text() == "packs: {}\n"


@pytest.mark.parametrize("name", ["null", "true", "1", "0x1", "y"])
def test_names_that_yaml_would_misread_are_quoted(tmp_path: Path, name: str) -> None:
    path = edited(tmp_path, "")
    disable_pack(path, name)
    assert path.read_text() == f'packs:\n  disabled: ["{name}"]\n'


REFUSED = [
    ("packs: [", (":1:9: not YAML: expected the node content, but found '<stream end>'"
     " (while parsing a flow node, line 1)")),
    ("packs: 5\n", ":1: key 'packs' is not a mapping"),
    ("packs:\n  enabled: mine\n", ":2: key 'packs.enabled' is not '*' or a list"),
    ("packs:\n  disabled: mine\n", ":2: key 'packs.disabled' is not a list"),
    ("packs:\n  lazy: 1\n  lazy: 2\n",
     ":3: key 'packs.lazy' is written twice; the first is on line 2"),
    ("packs:\n  bypass: &a [b]\n  disabled: *a\n",
     ":3: cannot disable pack 'x' in a file written like this; edit 'packs' by hand"),
    ("packs:\n  disabled: &a\n  - b\n  enabled: &b\n  - x\n  bypass: *b\n",
     ":2: cannot disable pack 'x' in a file written like this; edit 'packs' by hand"),
    ("packs:\n  <<: {disabled: [b]}\n",
     ":2: cannot disable pack 'x' in a file written like this; edit 'packs' by hand"),
    ("runner: local\n...\n",
     "cannot disable pack 'x' in a file written like this; edit 'packs' by hand"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "message"), REFUSED)
def test_what_cannot_be_edited_is_left_alone(tmp_path: Path, before: str, message: str) -> None:
    path = edited(tmp_path, before)
    with pytest.raises(ConfigError) as caught:
        disable_pack(path, "x")
    assert str(caught.value) == (f"{path}{message}" if message.startswith(":") else message)
    assert path.read_text() == before


def test_a_name_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        disable_pack(tmp_path / "x.yaml", "a b")
    assert str(caught.value) == "'a b' is not the name of a distribution, as pip installs it"


COMMENT = st.sampled_from(["", "  # a comment", " # - x", " #"])
NAMES = st.sampled_from(["x", "X", "a", "b-c", "'x'", '"a"', "x-y", "B.c"])


@st.composite
def name_lists(draw: st.DrawFn, key: str) -> str:
    """One list of names, as people write them."""
    names = draw(st.lists(NAMES, max_size=4))
    comment = draw(COMMENT)
    if not names or draw(st.booleans()):
        separator = draw(st.sampled_from([", ", ",", " ,\n      "]))
        ending = draw(st.sampled_from(["", " ", ", "])) if names else ""
        return f"  {key}: [{separator.join(names)}{ending}]{comment}\n"
    indent = draw(st.sampled_from(["  ", "    ", "      "]))
    lines = [f"{indent}- {name}{draw(COMMENT)}\n" for name in names]
    between = draw(st.sampled_from(["", "\n", f"{indent}# between\n", "# at the left\n"]))
    return f"  {key}:{comment}\n{between.join(lines)}{between}"


@st.composite
def files(draw: st.DrawFn) -> str:
    enabled = draw(name_lists("enabled") | st.just('  enabled: "*"\n') | st.just(""))
    disabled = draw(name_lists("disabled") | st.just("  disabled:\n") | st.just(""))
    parts = draw(st.permutations([enabled, disabled, "  lazy: true # yes\n", "  # about packs\n"]))
    text = "# top\n\npacks:  # these\n" + "".join(parts) + "\n# end\nlogs: {level: info}  # l\n"
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@given(files(), st.booleans())
def test_any_usual_file_can_be_edited(tmp_path_factory: pytest.TempPathFactory, text: str,
                                      enable: bool) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("edit") / "comfytavern.yaml"
    path.write_bytes(text.encode())
    before = build_config(parse_source(text.encode(), "")).packs
    changed = enable_pack(path, "x") if enable else disable_pack(path, "x")
    data = path.read_bytes()
    after = build_config(parse_source(data, "")).packs

    assert changed == (data != text.encode())
    assert after.allows("x") is enable
    for name in ("a", "b-c", "x-y"):
        assert after.allows(name) == before.allows(name)
    for comment in ("# top", "# these", "# about packs", "# yes", "# end", "# l", "# between"):
        assert data.decode().count(comment) == text.count(comment)
    assert (b"\r\n" in data) == ("\r\n" in text)
