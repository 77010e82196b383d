"""The cache of node definitions: what is kept, under which key, and what is as if it were not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from comfytavern.definition_cache import (
    CachedPack,
    DefinitionCache,
    PackTraits,
    code_named,
    encode_definitions,
)
from comfytavern.definitions import (
    BypassBehavior,
    GraphRole,
    InputDefinition,
    NodeAction,
    NodeDefinition,
    NodeMode,
    OutputDefinition,
    Replacement,
)
from comfytavern.discovery import FoundPack
from comfytavern.packs import PackManager
from comfytavern.types import DataFlowType

from ..packs_on_disk import PacksOnDisk, packs_on_path

TEXT = InputDefinition(
    data_flow_type=DataFlowType.STRING, config={"default": "a\n,\n\u2028é", "max": 3}
)


def everything() -> NodeDefinition:
    """Return a definition with every kind of field."""
    action = NodeAction(id="a", handler_type="emit_event", handler_args={"x": [1, 2.5, None]})
    return NodeDefinition(
        type="Every",
        namespace="some-pack",
        inputs={"b": TEXT, "a": InputDefinition(required=True, multi=True, actions=(action,))},
        outputs={"out": OutputDefinition(is_stream=True, match_categories=("Code", "Json"))},
        config_schema={"mode": InputDefinition(data_flow_type=DataFlowType.STRING)},
        modes={
            "own": NodeMode(inputs={"b": TEXT}, execute="some_pack:own"),
            "plain": NodeMode(display_name="Plain"),
        },
        mode_config_key="mode",
        default_mode_id="own",
        bypass_behavior=BypassBehavior(pass_through={"out": "a"}, defaults={"x": {"y": False}}),
        replaces=(Replacement(type="core:Old", inputs={"x": "a"}),),
        graph_role=GraphRole.GROUP_INPUT,
        file_path="some_pack.py",
        execute=lambda inputs, context: {},
    )


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        yield written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def found(packs: PacksOnDisk) -> FoundPack:
    packs.write("some-pack")
    return packs.found()[0]


def cached(*definitions: NodeDefinition) -> CachedPack:
    nodes = encode_definitions(definitions)
    assert nodes is not None
    traits = PackTraits(frozenset({"run_started"}), services=frozenset({"clock"}))
    return CachedPack(nodes, traits, "files", 12.5, ("it printed",))


@pytest.fixture
def written(folder: Path, found: FoundPack) -> Path:
    DefinitionCache(folder, "0.1.0").write(found, None, cached(everything()))
    return folder / "some-pack.json"


def test_what_is_read_is_what_was_written(folder: Path, found: FoundPack) -> None:
    pack, cache = cached(everything(), NodeDefinition(type="B")), DefinitionCache(folder, "0.1.0")
    cache.write(found, {"key": 1}, pack)
    assert cache.read(found, {"key": 1}) == pack
    assert [file.name for file in folder.iterdir()] == ["some-pack.json"]
    header, *definitions = json.loads((folder / "some-pack.json").read_bytes())
    assert header["importMs"] == 12.5
    assert [entry["definition"]["type"] for entry in definitions] == ["Every", "B"]


def test_a_definition_comes_back_but_for_its_code() -> None:
    definition, pack = everything(), cached(everything())
    read = pack.definition(0)
    modes = {"own": read.modes["own"], "plain": read.modes["plain"]}
    assert read.model_copy(update={"execute": definition.execute, "modes": {}}) == (
        definition.model_copy(update={"modes": {}})
    )
    assert list(read.inputs) == ["b", "a"]
    assert modes["plain"] == definition.modes["plain"]
    assert (read.execute, modes["own"].execute) == ("@some-pack:Every", "@some-pack:Every@own")
    assert code_named(str(read.execute)) == ("some-pack:Every", None)
    assert code_named(str(modes["own"].execute)) == ("some-pack:Every", "own")
    assert code_named("some_pack.module:execute") is None
    assert cached(NodeDefinition(type="NoCode")).definition(0).execute is None


class Own(NodeDefinition):
    """A pack's own class of definitions."""


class Raising:
    def __eq__(self, other: object) -> bool:
        raise ValueError("compared")

    __hash__ = None  # type: ignore[assignment]  # as it is with __eq__


CONFIGS: dict[str, object] = {
    "a tuple": (1, 2),
    "a set": {1},
    "bytes": b"x",
    "an infinity": inf,
    "keys that are no texts": {1: "a"},
    "an object that raises": Raising(),
}


@pytest.mark.parametrize("value", CONFIGS.values(), ids=CONFIGS)
def test_what_json_does_not_hold_is_not_kept(value: object) -> None:
    slot = InputDefinition(config={"placeholder": value})
    assert encode_definitions([NodeDefinition(type="A", inputs={"x": slot})]) is None


@pytest.mark.parametrize("place", ["inputs", "config_schema"])
def test_a_function_that_requires_is_not_kept(place: str) -> None:
    slot = InputDefinition(required=lambda config: True)
    assert (
        encode_definitions([NodeDefinition.model_validate({"type": "A", place: {"x": slot}})])
        is None
    )


def test_a_function_in_a_mode_and_a_class_of_its_own_are_not_kept() -> None:
    mode = NodeMode(inputs={"x": InputDefinition(required=lambda config: True)})
    moded = NodeDefinition(type="A", modes={"m": mode}, mode_config_key="k")
    assert encode_definitions([moded]) is None
    assert encode_definitions([Own(type="A")]) is None


def other_version(found: FoundPack) -> FoundPack:
    return replace(found, version="1.1")


def other_name(found: FoundPack) -> FoundPack:
    return replace(found, distribution="other-pack")


def other_entry_point(found: FoundPack) -> FoundPack:
    return replace(found, entry_points=found.entry_points * 2)


def other_record(found: FoundPack) -> FoundPack:
    assert found.location is not None
    with (found.location / "RECORD").open("a") as file:
        file.write("some_pack/more.py,sha256=x,1\n")
    return found


def no_record(found: FoundPack) -> FoundPack:
    assert found.location is not None
    (found.location / "RECORD").unlink()
    return found


def empty_record(found: FoundPack) -> FoundPack:
    assert found.location is not None
    (found.location / "RECORD").write_text("\n")
    return found


def editable(found: FoundPack) -> FoundPack:
    return replace(found, editable=True)


def damaged(found: FoundPack) -> FoundPack:
    return replace(found, problem="METADATA: there is no such file")


CHANGES = [other_version, other_name, other_entry_point, other_record, no_record, editable, damaged]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("change", CHANGES)
def test_another_pack_has_another_key(
    change: Callable[[FoundPack], FoundPack], folder: Path, found: FoundPack
) -> None:
    cache = DefinitionCache(folder, "0.1.0")
    assert cache.read(found) is not None
    assert cache.read(change(found)) is None


@pytest.mark.usefixtures("written")
def test_another_host_has_another_key(
    folder: Path, found: FoundPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DefinitionCache(folder, "0.2.0").read(found) is None
    assert DefinitionCache(folder, "0.1.0").read(found, {"given": 1}) is None
    monkeypatch.setattr("comfytavern.definition_cache._PYTHON", "another Python")
    assert DefinitionCache(folder, "0.1.0").read(found) is None


@pytest.mark.parametrize("change", [no_record, empty_record, editable, damaged])
def test_what_has_no_key_is_never_written(
    change: Callable[[FoundPack], FoundPack], folder: Path, found: FoundPack
) -> None:
    DefinitionCache(folder, "0.1.0").write(change(found), None, cached(everything()))
    assert not list(folder.glob("*"))


def test_without_a_folder_nothing_is_known(found: FoundPack) -> None:
    cache = DefinitionCache(None, "0.1.0")
    cache.write(found, None, cached(everything()))
    cache.drop("some-pack")
    assert cache.read(found) is None


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "cut short": lambda raw: raw[: len(raw) // 2],
    "cut at its end": lambda raw: raw[:-8],
    "no JSON": lambda raw: b"\x80\x04K\x01.",
    "another JSON": lambda raw: b'{"key": 1}',
    "an array of another kind": lambda raw: b"[\n1,\n2\n]\n",
    "one letter": lambda raw: raw.replace(b'"Every"', b'"Evers"'),
    "a definition more": lambda raw: raw.replace(b"\n]\n", b",\n{}\n]\n"),
    "a field less": lambda raw: raw.replace(b'"traits"', b'"trails"'),
    "a value of another kind": lambda raw: raw.replace(b"12.5", b"[1]"),
    "a deep one": lambda raw: b"[\n" + b"[" * 100_000 + b"\n]\n",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_as_if_it_were_not_there(
    damage: Callable[[bytes], bytes], written: Path, folder: Path, found: FoundPack
) -> None:
    cache, raw = DefinitionCache(folder, "0.1.0"), written.read_bytes()
    assert damage(raw) != raw
    written.write_bytes(damage(raw))
    assert cache.read(found) is None


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path, found: FoundPack) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    cache = DefinitionCache(tmp_path / "cache", "0.1.0")
    cache.write(found, None, cached(everything()))
    cache.drop("some-pack")
    assert cache.read(found) is None


def test_a_write_that_fails_leaves_the_old_file(
    written: Path, folder: Path, found: FoundPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "no space left on device")

    before = written.read_bytes()
    monkeypatch.setattr("comfytavern.definition_cache.os.replace", full)
    DefinitionCache(folder, "0.1.0").write(found, None, cached(NodeDefinition(type="Other")))
    assert [file.name for file in folder.iterdir()] == ["some-pack.json"]
    assert written.read_bytes() == before


def test_what_was_dropped_is_gone(written: Path, folder: Path) -> None:
    cache = DefinitionCache(folder, "0.1.0")
    cache.drop("some-pack")
    cache.drop("some-pack")
    assert not written.exists()


def test_differing_definitions_are_named() -> None:
    a, b = NodeDefinition(type="A"), NodeDefinition(type="B")
    assert cached(a, everything(), b).nodes.replacing == {1}
    before, after = cached(a, b).nodes, cached(a, b.model_copy(update={"width": 9})).nodes
    assert before.differing(before) == []
    assert before.differing(after) == ["B"]
    assert before.differing(cached(a, NodeDefinition(type="C")).nodes) == ["B", "C"]


ANSWERS = """
    from pathlib import Path
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl

    @hookimpl
    def register_nodes(pack):
        {line}
        return [NodeDefinition(type="Hello", execute=lambda inputs, context: {{}})]
"""


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("pack.warn('settings: %r' % pack.settings)", True),
        ("assert pack.data_dir", False),
        ("pack.ask('host_started')", False),
        ("raise ValueError", False),
    ],
)
def test_nodes_that_depend_on_more_than_the_key_are_not_kept(
    line: str, kept: bool, packs: PacksOnDisk, tmp_path: Path
) -> None:
    packs.write("some-pack", ANSWERS.format(line=line))
    PackManager(found=packs.found(), data_dir=tmp_path / "data").load()
    file = tmp_path / "data" / "cache" / "definitions" / "some-pack.json"
    assert file.exists() is kept


def test_a_start_that_finds_the_same_writes_nothing(packs: PacksOnDisk, tmp_path: Path) -> None:
    packs.write("some-pack")
    file = tmp_path / "data" / "cache" / "definitions" / "some-pack.json"
    stats = []
    for _ in range(2):
        PackManager(found=packs.found(), data_dir=tmp_path / "data").load()
        stats.append(file.stat().st_ino)
        sys.modules.pop("some_pack")
    assert stats[0] == stats[1]
