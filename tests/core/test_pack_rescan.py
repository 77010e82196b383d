"""Rescanning with a new choice: what applies at once, what takes a restart; runs go on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import anyio
import anyio.to_thread
import pytest

from comfytavern.definitions import NodeDefinition
from comfytavern.errors import PackError, PackImportError, WorkflowError
from comfytavern.events import Status
from comfytavern.hookspecs import hookimpl
from comfytavern.host import PackHost
from comfytavern.packs import PackChoice, PackManager, PackRecord, PackState, core_version

from ..packs_on_disk import GOOD, PacksOnDisk, packs_on_path

RESTART = "restart the host"
WAITING = "restart the host to load it, or list it by name in packs.enabled"
CODE_STAYS = "its code stays in this process until the host restarts"
AGAIN = "it is enabled again, and what was imported before cannot be loaded a second time"
ALL = PackChoice()


def only(*names: str, **more: object) -> PackChoice:
    """Return a choice that lists packs by name."""
    return replace(PackChoice(enabled=frozenset(names)), **more)  # type: ignore[arg-type]  # by name


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        yield written


def loaded(packs: PacksOnDisk, choice: PackChoice | None = None) -> PackManager:
    manager = PackManager(choice, found=packs.found())
    manager.load()
    return manager


def facts(record: PackRecord) -> tuple[str, str, str]:
    return record.state.value, record.error, record.remedy


def changes(
    manager: PackManager, packs: PacksOnDisk, choice: PackChoice
) -> dict[str, tuple[str, str, str]]:
    """Rescan, and return what the changed records say."""
    changed = manager.rescan(packs.found(), choice=choice)
    return {record.distribution: facts(record) for record in changed}


def types(manager: PackManager) -> list[str]:
    return [node.full_type for node in manager.registry]


# New packs --------------------------------------------------------------------------


def test_a_new_pack_is_loaded_if_it_is_listed_by_name(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    manager = loaded(packs, only("a-pack"))
    packs.write("b-pack")
    packs.write("c-pack", "raise AssertionError('never imported')")
    changed = changes(manager, packs, only("a-pack", "B_Pack"))
    assert changed == {"b-pack": ("loaded", "", ""), "c-pack": ("available", "", "")}
    assert types(manager) == ["a-pack:Hello", "b-pack:Hello"]
    assert changes(manager, packs, only("a-pack", "b-pack")) == {}


def test_a_new_pack_waits_where_all_are_enabled(packs: PacksOnDisk, tmp_path: Path) -> None:
    packs.write("a-pack")
    manager = loaded(packs)
    sentinel = tmp_path / "imported"
    packs.write("b-pack", f"open({str(sentinel)!r}, 'w').close()" + dedent(GOOD))
    assert changes(manager, packs, ALL) == {"b-pack": ("available", "", WAITING)}
    record = manager.record("b-pack")
    assert (record.enabled, record.warnings) == (True, ("it was installed while the host runs",))
    assert manager.registry.explain_missing("b-pack:Hello") == (
        f"pack 'b-pack' 1.0 is installed but not loaded: {WAITING}"
    )
    assert changes(manager, packs, ALL) == {}
    assert not sentinel.exists()
    assert changes(manager, packs, only("a-pack", "b-pack")) == {"b-pack": ("loaded", "", "")}
    assert manager.record("b-pack").warnings == ()


def test_a_newly_enabled_pack_waits_like_a_new_one(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    packs.write("b-pack")
    off = PackChoice(disabled=frozenset({"a-pack"}))
    manager = loaded(packs, replace(off, disabled=frozenset({"a-pack", "b-pack"})))
    assert changes(manager, packs, off) == {"b-pack": ("available", "", WAITING)}
    assert manager.record("b-pack").warnings == ("it was enabled while the host runs",)
    assert "b_pack" not in sys.modules
    assert changes(manager, packs, off) == {}
    assert changes(manager, packs, only("b-pack")) == {
        "a-pack": ("available", "", ""),
        "b-pack": ("loaded", "", ""),
    }


def test_a_failed_import_is_tried_again_only_by_name(packs: PacksOnDisk) -> None:
    packs.write("bad-pack", "import missing_lib\n" + dedent(GOOD))
    manager = loaded(packs)
    (packs.root / "missing_lib.py").write_text("", "utf-8")
    assert changes(manager, packs, ALL) == {}
    assert manager.record("bad-pack").state is PackState.FAILED
    assert manager.error_of("bad-pack") is not None
    assert changes(manager, packs, only("bad-pack")) == {"bad-pack": ("loaded", "", "")}
    assert manager.error_of("bad-pack") is None


def test_another_release_of_a_pack_that_could_not_be_imported_waits(packs: PacksOnDisk) -> None:
    info = packs.write("bad-pack", "import missing_lib")
    manager = loaded(packs)
    for file in info.iterdir():
        file.unlink()
    info.rmdir()
    packs.write("bad-pack", version="2.0")
    assert changes(manager, packs, ALL) == {"bad-pack": ("available", "", WAITING)}
    assert manager.record("bad-pack").version == "2.0"
    assert manager.error_of("bad-pack") is None


def test_a_new_pack_that_fails_is_a_record(packs: PacksOnDisk) -> None:
    manager = loaded(packs)
    packs.write("a-pack", "raise ValueError('why')")
    packs.write("b-pack", "import sys; sys.exit(3)")
    packs.write("c-pack")
    packs.write("d-pack", requires="comfytavern-core>=99")
    choice = only("a-pack", "b-pack", "c-pack", "d-pack", strict=True)
    changed = changes(manager, packs, choice)
    assert {name: (state, error) for name, (state, error, _) in changed.items()} == {
        "a-pack": ("failed", "ValueError: why"),
        "b-pack": ("failed", "it called sys.exit(3)"),
        "c-pack": ("loaded", ""),
        "d-pack": (
            "incompatible",
            f"it is built for comfytavern-core >=99, and this is {core_version()}",
        ),
    }
    assert types(manager) == ["c-pack:Hello"]


def test_a_choice_that_is_strict_ends_no_rescan(packs: PacksOnDisk) -> None:
    manager = loaded(packs, PackChoice(strict=True))
    packs.write("bad-pack", "raise ValueError('why')")
    [record] = manager.rescan(packs.found())
    assert record.error == "ValueError: why"


# Packs that leave -------------------------------------------------------------------

FULL = """
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl

    heard = []

    @hookimpl
    def register_nodes(pack):
        return [NodeDefinition(type="Hello", execute=lambda inputs, context: {})]

    @hookimpl
    def register_services(pack):
        return {"shared": 7}

    @hookimpl
    def register_runners(pack):
        return {"far": print}

    @hookimpl
    def run_started(event):
        heard.append("run_started")

    async def tell(what):
        heard.append(what)

    @hookimpl
    def host_started(pack):
        return lambda: tell("host_started")

    @hookimpl
    def host_stopping(pack):
        return lambda: tell("host_stopping")
"""


@pytest.mark.parametrize(
    ("choice", "state"),
    [
        (PackChoice(disabled=frozenset({"a-pack"})), "disabled"),
        (PackChoice(builtin_only=True), "disabled"),
        (only("b-pack"), "available"),
    ],
)
def test_a_pack_that_is_not_enabled_any_more_leaves(
    packs: PacksOnDisk, choice: PackChoice, state: str
) -> None:
    packs.write("a-pack", FULL)
    manager = loaded(packs)
    assert changes(manager, packs, choice) == {"a-pack": (state, "", "")}
    record = manager.record("a-pack")
    assert (record.enabled, record.node_types, record.warnings) == (False, (), (CODE_STAYS,))
    assert types(manager) == []
    assert (dict(manager.services), dict(manager.runners)) == ({}, {})
    assert manager.listeners("run_started") == []
    assert manager.plugin_manager.list_name_plugin() == []
    assert manager.choice is choice
    assert manager.registry.explain_missing("a-pack:Hello").startswith("pack 'a-pack' 1.0 is ")
    assert changes(manager, packs, choice) == {}


def test_a_pack_that_left_and_is_enabled_again_takes_a_restart(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    manager = loaded(packs)
    changes(manager, packs, only())
    for choice in (only("a-pack"), ALL):
        changed = changes(manager, packs, choice)
        assert changed == {"a-pack": ("restart-required", AGAIN, RESTART)}
        assert types(manager) == []
        assert changes(manager, packs, choice) == {}
        assert changes(manager, packs, only())["a-pack"] == ("available", "", "")


def test_built_in_packs_are_treated_the_same(packs: PacksOnDisk) -> None:
    packs.write("comfytavern-core-nodes", module="fake_core_nodes")
    manager = loaded(packs)
    assert manager.registry.get("core:Hello") is not None
    packs.write("comfytavern-llm-nodes", module="fake_llm_nodes")
    choice = PackChoice(disabled=frozenset({"comfytavern-core-nodes"}))
    assert changes(manager, packs, choice) == {
        "comfytavern-core-nodes": ("disabled", "", ""),
        "comfytavern-llm-nodes": ("available", "", WAITING),
    }
    assert manager.registry.get("core:Hello") is None


def test_a_failed_pack_that_is_disabled_is_no_failure_any_more(packs: PacksOnDisk) -> None:
    source = GOOD.replace('"Hello"', '"Hello", namespace="core"')
    packs.write("bad-pack", source)
    packs.write("worse-pack", "raise ValueError")
    manager = loaded(packs)
    assert changes(manager, packs, only()) == {
        "bad-pack": ("available", "", ""),
        "worse-pack": ("available", "", ""),
    }
    assert manager.record("bad-pack").warnings == (CODE_STAYS,)
    assert manager.record("worse-pack").warnings == ()
    assert [manager.error_of(name) for name in ("bad-pack", "worse-pack")] == [None, None]
    changed = changes(manager, packs, only("bad-pack", "worse-pack"))
    assert changed["bad-pack"] == ("restart-required", AGAIN, RESTART)
    assert changed["worse-pack"][:2] == ("failed", "ValueError")


def test_what_is_removed_and_installed_again(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    packs.write("bad-pack", GOOD.replace('"Hello"', '"Hello", namespace="core"'))
    manager = loaded(packs)
    everything = packs.found()
    [removed] = manager.rescan([], choice=only())
    assert (removed.distribution, removed.state) == ("a-pack", PackState.UNINSTALLED)
    assert [record.distribution for record in manager.records] == ["a-pack"]
    changed = {r.distribution: facts(r) for r in manager.rescan(everything, choice=ALL)}
    why = "version 1.0 was installed again"
    assert changed == dict.fromkeys(("a-pack", "bad-pack"), ("restart-required", why, RESTART))
    assert manager.rescan(everything, choice=ALL) == ()
    # One that had left before it was removed is remembered too.
    manager.rescan(everything, choice=only())
    [removed] = [r for r in manager.rescan([], choice=only()) if r.distribution == "a-pack"]
    assert removed.state is PackState.UNINSTALLED


def test_packs_in_memory_are_not_the_operators(packs: PacksOnDisk) -> None:
    class Plugin:
        @hookimpl
        def register_nodes(self) -> Iterable[NodeDefinition]:
            return [NodeDefinition(type="Hello")]

    packs.write("a-pack")
    manager = PackManager(only("a-pack"), found=packs.found())
    manager.add(Plugin(), distribution="a-pack")
    manager.add(Plugin(), distribution="b-pack")
    for found in (packs.found(), []):
        assert manager.rescan(found, choice=only()) == ()
        assert types(manager) == ["a-pack:Hello", "b-pack:Hello"]


def test_verbs_follow_the_choice(packs: PacksOnDisk) -> None:
    packs.write("a-pack", entry_points="[comfytavern.commands]\ncards = a_pack:main\n")
    manager = loaded(packs)
    assert list(manager.commands) == ["cards"]
    manager.rescan(packs.found(), choice=only())
    assert list(manager.commands) == []


# What a loaded pack was given -------------------------------------------------------

WITH_SETTINGS = """
    from pydantic import BaseModel, model_validator
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl

    class Settings(BaseModel):
        size: int = 1

        @model_validator(mode="before")
        @classmethod
        def forget(cls, value):
            value.pop("old", None)
            return value

    @hookimpl
    def settings_model(pack):
        return Settings

    @hookimpl
    def register_nodes(pack):
        return [NodeDefinition(type="Hello", width=pack.settings.size)]
"""


def test_changed_settings_take_a_restart(packs: PacksOnDisk) -> None:
    packs.write("a-pack", WITH_SETTINGS)
    packs.write("b-pack", WITH_SETTINGS)
    packs.write("c-pack")
    before = PackChoice(settings={"a-pack": {"size": 2, "old": [1]}})
    manager = loaded(packs, before)
    same = PackChoice(settings={"a-pack": {"old": [1], "size": 2}, "b-pack": {}})
    assert changes(manager, packs, same) == {}
    other = PackChoice(settings={"a-pack": {"size": 3, "old": [1]}, "c-pack": {"size": 1}})
    assert changes(manager, packs, other) == {
        "a-pack": ("restart-required", "its settings have changed", RESTART)
    }
    node = manager.registry.get("a-pack:Hello")
    assert node is not None
    assert node.definition.width == 2
    assert manager.settings_of("a-pack").size == 2  # type: ignore[attr-defined]  # the pack's own model
    assert changes(manager, packs, other) == {}
    assert changes(manager, packs, before) == {"a-pack": ("loaded", "", "")}


def test_settings_of_a_failed_pack_take_a_restart_too(packs: PacksOnDisk) -> None:
    packs.write("bad-pack", WITH_SETTINGS)
    bad = PackChoice(settings={"bad-pack": {"size": "x"}})
    manager = loaded(packs, bad)
    failed = manager.record("bad-pack")
    assert (failed.state, failed.phase) == (PackState.FAILED, "settings")
    good = PackChoice(settings={"bad-pack": {"size": 2}})
    changed = changes(manager, packs, good)
    assert changed == {"bad-pack": ("restart-required", "its settings have changed", RESTART)}
    record = manager.record("bad-pack")
    assert (record.phase, record.traceback) == ("", "")
    assert list(changes(manager, packs, bad)) == ["bad-pack"]
    assert manager.record("bad-pack") == failed


def test_several_changes_are_all_said(packs: PacksOnDisk) -> None:
    info = packs.write("a-pack", WITH_SETTINGS)
    manager = loaded(packs)
    packs.write_record(info, {"a_pack.py": "changed"})
    choice = PackChoice(settings={"a-pack": {"size": 3}}, namespaces={"short": "a-pack"})
    [(state, error, _)] = changes(manager, packs, choice).values()
    assert (state, error) == (
        "restart-required",
        (
            "its files have changed; its settings have changed;"
            " the namespaces granted to it have changed"
        ),
    )


def test_aliases_apply_at_once(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    packs.write("b-pack")
    manager = loaded(packs, PackChoice(aliases={"core": ("a-pack", "b-pack")}))
    node = manager.registry.get("core:Hello")
    assert node is not None
    assert node.distribution == "a-pack"
    aliases = {"core": ("b-pack",), "new": ("a-pack",)}
    assert changes(manager, packs, PackChoice(aliases=aliases)) == {}
    found = {name: manager.registry.get(f"{name}:Hello") for name in ("core", "new")}
    named = {name: node and node.distribution for name, node in found.items()}
    assert named == {"core": "b-pack", "new": "a-pack"}
    assert changes(manager, packs, PackChoice(aliases={})) == {}
    assert manager.registry.get("new:Hello") is None


def test_granted_namespaces_take_a_restart(packs: PacksOnDisk) -> None:
    packs.write("a-pack", GOOD.replace('"Hello"', '"Hello", namespace="short"'))
    packs.write("b-pack", GOOD.replace('"Hello"', '"Hello", namespace="long"'))
    granted = PackChoice(namespaces={"short": "a-pack"})
    manager = loaded(packs, granted)
    assert manager.record("b-pack").state is PackState.FAILED
    why = "the namespaces granted to it have changed"
    swapped = PackChoice(namespaces={"long": "b-pack"})
    expected = dict.fromkeys(("a-pack", "b-pack"), ("restart-required", why, RESTART))
    assert changes(manager, packs, swapped) == expected
    assert types(manager) == ["short:Hello"]  # where it was added, it stays
    assert manager.registry.explain_missing("long:Other") == (
        f"pack 'b-pack' 1.0 has no such type; {why}; {RESTART}"
    )
    changes(manager, packs, granted)
    states = [record.state for record in manager.records]
    assert states == [PackState.LOADED, PackState.FAILED]


def test_who_may_decide_for_other_packs_applies_at_once(packs: PacksOnDisk) -> None:
    bypass = "\n    @hookimpl\n    def bypass_outputs(request): return {}\n"
    packs.write("a-pack", GOOD + bypass)
    manager = loaded(packs)
    rule = manager.bypass_rule()
    assert manager.bypass_deciders("other") == []
    assert changes(manager, packs, PackChoice(bypass=("a-pack",))) == {}
    assert [each.distribution for each in manager.bypass_deciders("other")] == ["a-pack"]
    assert rule("other") == []
    assert [each.distribution for each in rule("a-pack")] == ["a-pack"]


# The digest -------------------------------------------------------------------------


def test_the_digest_follows_what_is_loaded(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    manager = loaded(packs)
    digests = [manager.digest()]
    packs.write("b-pack")
    manager.rescan(packs.found(), choice=ALL)
    assert manager.digest() == digests[0]  # it waits
    manager.rescan(packs.found(), choice=only("a-pack", "b-pack"))
    digests.append(manager.digest())
    manager.rescan(packs.found(), choice=only("b-pack"))
    digests.append(manager.digest())
    manager.rescan([], choice=only("b-pack"))
    digests.append(manager.digest())
    manager.add(SimpleNamespace(), distribution="c-pack")
    digests.append(manager.digest())
    assert len(set(digests)) == 5
    assert digests[3] == PackManager(found=[]).digest()
    assert manager.digest() is manager.digest()  # not computed again


def test_a_pack_that_fails_late_leaves_no_trace_in_the_digest(packs: PacksOnDisk) -> None:
    manager = loaded(packs)
    before = manager.digest()
    service = "\n    @hookimpl\n    def register_services(pack): return [manager_asks_too]\n"
    packs.write("a-pack", GOOD + service)
    manager.rescan(packs.found(), choice=only("a-pack"))
    assert manager.record("a-pack").state is PackState.FAILED
    assert manager.digest() == before


# Running runs -----------------------------------------------------------------------

BUSY = """
    import anyio
    from pydantic import BaseModel
    from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
    from comfytavern.hookspecs import hookimpl

    heard = []
    gates = []

    class Settings(BaseModel):
        size: int = 3

    @hookimpl
    def settings_model(pack):
        return Settings

    @hookimpl
    def register_services(pack):
        return {"shared": 7}

    async def wait(inputs, context):
        gates.append(anyio.Event())
        await gates[-1].wait()
        return {"out": context.services["shared"] + context.settings.size}

    @hookimpl
    def register_nodes(pack):
        slots = {"inputs": {"in": InputDefinition()}, "outputs": {"out": OutputDefinition()}}
        return [
            NodeDefinition(type="Wait", execute=wait, **slots),
            NodeDefinition(type="Late", execute="busy_late:run", **slots),
        ]

    @hookimpl
    def bypass_outputs(request):
        return {"out": "decided"}

    @hookimpl
    def run_finished(event):
        heard.append("run finished")

    async def tell(what):
        heard.append(what)

    @hookimpl
    def host_started(pack):
        return lambda: tell("started")

    @hookimpl
    def host_stopping(pack):
        return lambda: tell("stopping")
"""
LATE = "def run(inputs, context): return {'out': [inputs['in'], context.services['shared']]}"


def edge(source: str, target: str) -> dict[str, str]:
    ends = {"sourceNodeId": source, "sourceHandle": "out"}
    return ends | {"targetNodeId": target, "targetHandle": "in"}


GRAPH: Mapping[str, object] = {
    "nodes": [
        {"id": "wait", "fullType": "busy-pack:Wait"},
        {"id": "late", "fullType": "busy-pack:Late"},
        {"id": "past", "fullType": "busy-pack:Wait", "bypassed": True},
        {"id": "end", "fullType": "busy-pack:Late"},
    ],
    "edges": [edge("wait", "late"), edge("late", "past"), edge("past", "end")],
}


WANTED = ("late", "past", "end")
INTERFACE: Mapping[str, object] = {
    "interfaceOutputs": {name: {} for name in WANTED},
    "outputInterfaceMappings": {n: {"sourceNodeId": n, "sourceSlotKey": "out"} for n in WANTED},
}


async def host_of(packs: PacksOnDisk, choice: PackChoice) -> PackHost:
    """Load the packs that are there in a thread, as reading files blocks."""

    def load() -> PackHost:
        host = PackHost(choice, found=packs.found())
        host.load()
        return host

    return await anyio.to_thread.run_sync(load)


async def test_a_run_goes_on_with_what_it_began_with(packs: PacksOnDisk) -> None:
    await anyio.to_thread.run_sync(
        partial(packs.write, "busy-pack", BUSY, files={"busy_late.py": LATE})
    )
    host = await host_of(packs, only("busy-pack"))
    module, digest = sys.modules["busy_pack"], host.digest()
    graph = {**GRAPH, **INTERFACE}
    with anyio.fail_after(10):
        async with host:
            run = host.start(await host.compile(graph))
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(packs.write, "new-pack")
            changed = await host.rescan(only("new-pack"))
            states = {record.distribution: record.state for record in changed}
            assert states["busy-pack"] is PackState.AVAILABLE
            assert states["new-pack"] is PackState.LOADED
            assert host.digest() not in {digest, PackManager(found=[]).digest()}
            assert dict(host.engine.facilities.services) == {}
            with pytest.raises(WorkflowError):
                await host.compile(graph)
            assert "busy_late" not in sys.modules
            module.gates[0].set()
            result = await run.wait()
            assert result.outputs == {"late": [10, 7], "past": "decided", "end": ["decided", 7]}
            assert module.heard == ["started", "run finished"]
            new = {"nodes": [{"id": "n", "fullType": "new-pack:Hello"}]}
            assert (await host.run(new)).status is Status.COMPLETE
            assert module.heard == ["started", "run finished"]
    assert module.heard == ["started", "run finished", "stopping"]


async def test_one_rescan_waits_for_another(packs: PacksOnDisk) -> None:
    await anyio.to_thread.run_sync(packs.write, "a-pack")
    host = await host_of(packs, only())
    changed: list[PackRecord] = []

    async def rescan() -> None:
        changed.extend(await host.rescan(only("a-pack")))

    async with host, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(rescan)
    ours = [record.state for record in changed if record.distribution == "a-pack"]
    assert ours == [PackState.LOADED]


async def test_a_host_that_does_not_run_can_be_rescanned(packs: PacksOnDisk) -> None:
    host = await host_of(packs, only("a-pack"))
    await anyio.to_thread.run_sync(packs.write, "a-pack")
    changed = await host.rescan()
    assert [r.state for r in changed if r.distribution == "a-pack"] == [PackState.LOADED]


def test_references_of_a_pack_that_left_still_resolve(packs: PacksOnDisk) -> None:
    packs.write("a-pack", files={"a_part.py": "number = 5"})
    packs.write("b-pack", files={"b_part.py": "number = 5"})
    manager = loaded(packs, only("a-pack"))
    manager.rescan(packs.found(), choice=only())
    assert manager.import_reference("a_part:number", "a-pack") == 5
    with pytest.raises(PackImportError):
        manager.import_reference("os:system", "a-pack")
    with pytest.raises(PackError, match="it is not enabled, so nothing of it is imported"):
        manager.import_reference("b_part:number", "b-pack")
