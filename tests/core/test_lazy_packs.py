"""Packs that are known from their last import: listed, compiled, and imported when one runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
import pytest

from comfytavern._crash_markers import CrashMarkers
from comfytavern.engine import RunResult
from comfytavern.errors import PackError, UnknownPackError
from comfytavern.events import Status
from comfytavern.host import PackHost
from comfytavern.node_listing import definitions_for_wire
from comfytavern.packs import PackChoice, PackManager, PackState
from comfytavern.plan import Plan

from ..packs_on_disk import PacksOnDisk, forget_caches, packs_on_path

LAZY = PackChoice(lazy=True)
in_thread = anyio.to_thread.run_sync
PLAIN = """
    from comfytavern.chunks import Outputs
    from comfytavern.definitions import *
    from comfytavern.hookspecs import hookimpl

    OUT = {"out": OutputDefinition(data_flow_type="STRING")}

    async def coroutine(inputs, context):
        return {"out": "coroutine"}

    def thread(inputs, context):
        return {"out": "thread"}

    async def stream(inputs, context):
        yield "chunk"
        yield Outputs(out="stream")

    @hookimpl
    def register_nodes(pack):
        modes = {"one": NodeMode(execute=thread), "two": NodeMode()}
        kinds = {"Coroutine": coroutine, "Thread": thread, "Stream": stream}
        kinds["Named"] = "plain_pack_code:named"
        nodes = [NodeDefinition(type=name, outputs=OUT, execute=kinds[name]) for name in kinds]
        nodes += [NodeDefinition(type="NoCode", outputs=OUT)]
        return nodes + [
            NodeDefinition(
                type="Moded", outputs=OUT, modes=modes, mode_config_key="mode",
                default_mode_id="one", execute=coroutine,
            )
        ]
"""
CODE = "def named(inputs, context):\n    return {'out': 'named'}\n"
HOOKS = """
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl, hookspec

    @hookimpl
    def register_nodes(pack):
        return [NodeDefinition(type="Hello", execute=lambda inputs, context: {})]

    class Specs:
        @hookspec
        def greet(self): ...
"""
# What a pack may do besides offering nodes.
MORE = {
    "services": "@hookimpl\n    def register_services(pack): return {'clock': 1}",
    "services that ask others": "@hookimpl\n    def register_services(pack):\n"
    "        return {'clock': pack.ask('register_runners'), 'folder': pack.data_dir}",
    "runners": "@hookimpl\n    def register_runners(pack): return {'far': 1}",
    "settings": "import pydantic\n    class Own(pydantic.BaseModel): ...\n"
    "    @hookimpl\n    def settings_model(pack): return Own",
    "lifecycle": "@hookimpl\n    def host_started(pack): return None",
    "events": "@hookimpl\n    def run_started(event): pass",
    "bypass": "@hookimpl\n    def bypass_outputs(request): return None",
    "hookspecs of its own": "@hookimpl\n    def register_hookspecs(pack): return Specs()",
    "a hook of another pack": "@hookimpl(optionalhook=True)\n    def of_another(pack): pass",
}


class Site(PacksOnDisk):
    """Fake distributions, a data directory, and hosts that come one after the other."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.data_dir = root.parent / "data"

    def manager(self, choice: PackChoice = LAZY, *, listing: bool = False) -> PackManager:
        """Return a manager that has loaded, as another process would."""
        self.forget()
        manager = PackManager(choice, found=self.found(), data_dir=self.data_dir)
        manager.load(listing=listing)
        return manager

    def host(self, choice: PackChoice = LAZY) -> PackHost:
        """Return a host that has loaded, as another process would."""
        self.forget()
        host = PackHost(choice, found=self.found(), data_dir=self.data_dir)
        host.load()
        return host

    def forget(self) -> None:
        """Forget what was imported from here."""
        for name in self.imported():
            del sys.modules[name]
        forget_caches()

    def imported(self) -> list[str]:
        """Return the modules that were imported from here."""
        places = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
        return sorted(n for n, file in places.items() if (file or "").startswith(str(self.root)))

    def write_plain(self, source: str = PLAIN, version: str = "1.0") -> None:
        """Write ``plain-pack``, also in the place of another release."""
        for info in self.root.glob("plain_pack-*"):
            shutil.rmtree(info)
        files = {"plain_pack_code.py": CODE}
        self.write("plain-pack", source, version=version, files=files)

    def rewrite(self, old: str, new: str) -> None:
        """Change the module of ``plain-pack`` behind the back of RECORD."""
        file = self.root / "plain_pack.py"
        text = file.read_text("utf-8")
        assert old in text
        file.write_text(text.replace(old, new), "utf-8")

    def entry(self, distribution: str) -> Path:
        """Return the file of the cache."""
        return self.data_dir / "cache" / "definitions" / f"{distribution}.json"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with packs_on_path(tmp_path / "site", monkeypatch):
        yield Site(tmp_path / "site")


@pytest.fixture
def warm(site: Site) -> Site:
    """Give a site with ``plain-pack``, which was imported before."""
    site.write_plain()
    site.manager()
    site.forget()
    return site


def workflow(*types: str, mode: str | None = None) -> dict[str, Any]:  # Any: JSON
    config = {"configValues": {"mode": mode}} if mode else {}
    nodes = [{"id": name, "fullType": f"plain-pack:{name}", **config} for name in types]
    mappings = {name: {"sourceNodeId": name, "sourceSlotKey": "out"} for name in types}
    slots = {name: {"dataFlowType": "STRING"} for name in types}
    return {
        "nodes": nodes,
        "edges": [],
        "interfaceOutputs": slots,
        "outputInterfaceMappings": mappings,
    }


def failure(result: RunResult) -> str:
    return str(result.error)


# What a start imports -----------------------------------------------------------------


def test_a_warm_start_imports_no_pack_and_lists_the_same(warm: Site) -> None:
    first, again = warm.manager(PackChoice()), warm.manager()
    assert warm.imported() == []
    before, now = first.record("plain-pack"), again.record("plain-pack")
    assert now.import_ms is not None
    assert now == replace(before, lazy=True, import_ms=now.import_ms)
    assert (now.state, now.lazy, now.to_wire()["lazy"]) == (PackState.LOADED, True, True)
    assert definitions_for_wire(again.registry) == definitions_for_wire(first.registry)
    assert len(now.node_types) == 6
    assert again.digest() == first.digest()
    assert warm.imported() == []


def test_without_lazy_every_pack_is_imported(warm: Site) -> None:
    assert not warm.manager(PackChoice()).record("plain-pack").lazy
    assert warm.imported() == ["plain_pack"]


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_a_pack_that_does_more_is_imported_at_the_start(more: str, site: Site) -> None:
    site.write("more-pack", f"{HOOKS}\n    {more}")
    assert site.manager().record("more-pack").error == ""
    assert site.entry("more-pack").exists()
    assert not site.manager().record("more-pack").lazy
    assert site.imported() == ["more_pack"]
    assert site.manager(listing=True).record("more-pack").lazy
    assert site.imported() == []


def test_a_listing_imports_what_others_may_need_if_it_imports_at_all(warm: Site) -> None:
    specs = MORE["hookspecs of its own"]
    warm.write("spec-pack", f"{HOOKS}\n    {specs}")
    warm.manager(listing=True)
    warm.write("more-pack", f"{HOOKS}\n    {MORE['services']}")
    warm.manager(listing=True)
    warm.write("user-pack", f"{HOOKS}\n    @hookimpl\n    def greet(): return 1")
    manager = warm.manager(listing=True)
    assert {record.distribution: record.lazy for record in manager.records} == {
        "more-pack": True,
        "plain-pack": True,
        "spec-pack": False,
        "user-pack": False,
    }
    assert all(record.lazy for record in warm.manager(listing=True).records)
    assert warm.imported() == []


def test_a_listing_tells_of_packs_that_never_were_there_at_once(site: Site) -> None:
    for name in ("a-pack", "b-pack"):
        site.write(name, f"{HOOKS}\n    {MORE['services']}")
        only = PackChoice(enabled=frozenset({name}))
        assert site.manager(only).record(name).state is PackState.LOADED
    listed = site.manager(PackChoice(), listing=True).record("b-pack")
    assert (listed.state, listed.error) == (
        PackState.CONFLICT,
        "service 'clock' is taken by pack 'a-pack'",
    )
    assert site.imported() == []


def test_a_name_that_is_taken_by_a_pack_that_is_not_imported_is_taken(site: Site) -> None:
    site.write("a-pack", f"{HOOKS}\n    {MORE['runners']}")
    site.manager()
    site.write("b-pack", f"{HOOKS}\n    {MORE['runners']}")
    manager = site.manager(listing=True)
    assert manager.record("b-pack").error == "runner 'far' is taken by pack 'a-pack'"
    assert site.imported() == ["b_pack"]
    manager.import_reference("a_pack:register_nodes", "a-pack")
    assert manager.runners == {"far": 1}


def test_a_hook_whose_pack_is_gone_is_told_by_a_listing(site: Site) -> None:
    site.write("spec-pack", f"{HOOKS}\n    {MORE['hookspecs of its own']}")
    site.write("user-pack", f"{HOOKS}\n    @hookimpl\n    def greet(): return 1")
    site.manager()
    alone = PackChoice(disabled=frozenset({"spec-pack"}))
    assert site.manager(alone, listing=True).record("user-pack").error == (
        "no hook is named 'greet'"
    )


NEVER = {
    "failed": "raise ValueError('why')",
    "a function that requires": PLAIN.replace(
        "outputs=OUT, execute=kinds",
        "inputs={'x': InputDefinition(required=lambda c: 1)}, execute=kinds",
    ),
    "no JSON": PLAIN.replace(
        "outputs=OUT, execute=kinds",
        "inputs={'x': InputDefinition(config={'suggestions': (1, 2)})}, execute=kinds",
    ),
}


@pytest.mark.parametrize("source", NEVER.values(), ids=NEVER)
def test_what_is_never_kept_is_imported_each_time(source: str, site: Site) -> None:
    site.write("plain-pack", source, files={"plain_pack_code.py": CODE})
    for _ in range(2):
        record = site.manager().record("plain-pack")
        assert (record.lazy, record.state is PackState.FAILED) == (False, "raise" in source)
        assert not site.entry("plain-pack").exists()


def test_an_editable_pack_is_never_kept(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "site" / "elsewhere"
    sys.path.insert(0, str(source))
    try:
        site.write("plain-pack", PLAIN, editable=source)
        for _ in range(2):
            assert not site.manager().record("plain-pack").lazy
        assert site.imported() == ["plain_pack"]
        assert not site.entry("plain-pack").exists()
    finally:
        sys.path.remove(str(source))


@pytest.mark.parametrize("damage", [b"", b"\x80\x04.", b"[\n{}\n]\n"])
def test_a_damaged_entry_is_read_anew_and_written_anew(
    damage: bytes, warm: Site, caplog: pytest.LogCaptureFixture
) -> None:
    entry = warm.entry("plain-pack")
    content = entry.read_bytes()
    entry.write_bytes(damage)
    record = warm.manager().record("plain-pack")
    assert (record.lazy, record.warnings) == (False, ())
    assert warm.imported() == ["plain_pack"]
    assert entry.read_bytes().partition(b'"importMs"')[0] == content.partition(b'"importMs"')[0]
    assert caplog.records == []
    assert warm.manager().record("plain-pack").lazy


def test_a_definition_that_cannot_be_read_is_the_packs_own(warm: Site) -> None:
    foreign = [{"definition": {"type": "Coroutine", "unheard": 1}, "code": True, "modes": []}]
    manager = rewritten(warm, foreign)
    node = manager.registry.get("plain-pack:Coroutine")
    assert node is not None
    assert warm.imported() == []
    assert callable(node.definition.execute)
    assert warm.imported() == ["plain_pack"]
    assert not warm.entry("plain-pack").exists()


def rewritten(site: Site, definitions: Sequence[object]) -> PackManager:
    """Load with an entry that has the right key and sum, and other definitions."""
    entry = site.entry("plain-pack")
    header = json.loads(entry.read_bytes())[0]
    lines = [json.dumps(definition).encode() for definition in definitions]
    header["types"] = header["types"][: len(lines)]
    header["body"] = hashlib.sha256(b",\n".join(lines)).hexdigest()
    first = json.dumps(header).encode()
    entry.write_bytes(b"[\n" + b",\n".join([first, *lines]) + b"\n]\n")
    return site.manager()


def test_recalling_puts_what_is_known_on_records(warm: Site) -> None:
    warm.write("new-pack")
    warm.write("off-pack")
    choice = PackChoice(disabled=frozenset({"off-pack"}))
    manager = PackManager(choice, found=warm.found(), data_dir=warm.data_dir)
    manager.recall()
    known, fresh, off = (manager.record(f"{n}-pack") for n in ("plain", "new", "off"))
    assert (known.state, known.lazy, len(known.node_types)) == (PackState.AVAILABLE, False, 6)
    assert known.import_ms is not None
    assert (fresh.import_ms, fresh.node_types, off.import_ms) == (None, (), None)
    assert warm.imported() == []


def test_crash_markers_still_work(warm: Site) -> None:
    folder = warm.data_dir / "loading"
    folder.mkdir(exist_ok=True)
    marker = {"distribution": "plain-pack", "phase": "import", "pid": 2**22 + 1}
    (folder / "plain-pack.1.json").write_text(json.dumps(marker), "utf-8")
    record = warm.manager().record("plain-pack")
    assert (record.state, record.error) == (
        PackState.FAILED,
        "it killed the process the last time it was loaded",
    )
    assert warm.imported() == []
    assert warm.manager().clear_crash_marker("plain-pack")
    assert warm.manager().record("plain-pack").lazy


# The first run ------------------------------------------------------------------------


@pytest.fixture
def host(warm: Site) -> PackHost:
    """Give a host that knows ``plain-pack`` and has not imported it."""
    return warm.host()


async def test_the_first_run_imports_the_pack(warm: Site, host: PackHost) -> None:
    names = ("Coroutine", "Thread", "Stream", "Named")
    async with host:
        plan = await host.compile(workflow(*names))
        assert warm.imported() == []
        assert host.packs.record("plain-pack").lazy
        result = await host.run(plan)
        assert result.status is Status.COMPLETE
        assert result.outputs == {name: name.lower() for name in names}
        assert warm.imported() == ["plain_pack", "plain_pack_code"]
        record = host.packs.record("plain-pack")
        assert (record.lazy, record.state, record.warnings) == (False, PackState.LOADED, ())
        assert (await host.run(plan)).outputs == result.outputs
        assert (await host.run(workflow(*names))).outputs == result.outputs


@pytest.mark.parametrize(("mode", "out"), [("one", "thread"), ("two", "coroutine")])
async def test_a_mode_runs_its_own_code(mode: str, out: str, host: PackHost) -> None:
    async with host:
        assert (await host.run(workflow("Moded", mode=mode))).outputs == {"Moded": out}


async def test_a_node_without_code_is_a_finding(host: PackHost) -> None:
    async with host:
        with pytest.raises(Exception, match=r"'NoCode' \(plain-pack:NoCode\) has no code"):
            await host.compile(workflow("NoCode"))


async def test_the_digest_stays_and_the_definitions_are_the_packs_own(host: PackHost) -> None:
    digest, revision = host.digest(), host.registry.revision
    async with host:
        await host.run(workflow("Thread"))
    node = host.registry.get("plain-pack:Thread")
    assert node is not None
    assert callable(node.definition.execute)
    assert host.digest() == digest
    assert host.registry.revision > revision


SLOW = """
    import sys
    from comfytavern.definitions import *
    from comfytavern.hookspecs import hookimpl

    control = sys.modules.get("control")
    if control is not None:
        control.begun.append(1)
        control.entered.set()
        assert control.go.wait(10)
"""


async def test_two_runs_at_once_import_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await in_thread(site.write_plain, SLOW + PLAIN)
    await in_thread(site.manager)
    host = await in_thread(site.host)
    control: Any = ModuleType("control")  # Any: a module made here
    control.begun, control.entered, control.go = [], threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "control", control)
    results: list[RunResult] = []

    async def run(plan: Plan) -> None:
        results.append(await host.run(plan))

    with anyio.fail_after(10):
        async with host:
            plan = await host.compile(workflow("Thread"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, plan)
                tasks.start_soon(run, plan)
                await in_thread(control.entered.wait)
                control.go.set()
    assert [result.status for result in results] == [Status.COMPLETE, Status.COMPLETE]
    assert control.begun == [1]


async def test_nodes_that_wait_for_an_import_take_one_thread(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_thread(site.write_plain, SLOW + PLAIN)
    await in_thread(site.manager)
    host = await in_thread(site.host)
    control: Any = ModuleType("control")  # Any: a module made here
    control.begun, control.entered, control.go = [], threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "control", control)
    kinds = ("Coroutine", "Thread", "Stream")
    nodes = [{"id": f"n{i}", "fullType": f"plain-pack:{kinds[i % 3]}"} for i in range(90)]
    threads = anyio.to_thread.current_default_thread_limiter()
    with anyio.fail_after(10):
        async with host:
            run = host.start(await host.compile({"nodes": nodes, "edges": []}))
            await in_thread(control.entered.wait)
            await anyio.wait_all_tasks_blocked()
            assert threads.borrowed_tokens == 1
            control.go.set()
            assert (await run.wait()).status is Status.COMPLETE
    assert control.begun == [1]


async def test_a_pack_that_fails_then_fails_the_node_and_says_so(
    warm: Site, host: PackHost
) -> None:
    await in_thread(
        warm.rewrite, "from comfytavern", "import nothing_of_this_name\nfrom comfytavern"
    )
    text = (
        "node 'Thread' (plain-pack:Thread) failed: pack 'plain-pack' 1.0 failed to import:"
        " No module named 'nothing_of_this_name'; install it or disable the pack"
    )
    async with host:
        plan = await host.compile(workflow("Thread"))
        assert failure(await host.run(plan)) == text
        assert failure(await host.run(plan)) == text
        record = host.packs.record("plain-pack")
        assert (record.state, record.phase, record.lazy, record.node_types) == (
            PackState.FAILED,
            "import",
            False,
            (),
        )
        with pytest.raises(Exception, match="failed to load \\(import\\): No module named"):
            await host.compile(workflow("Thread"))
    assert not await in_thread(warm.entry("plain-pack").exists)
    assert not await in_thread(os.listdir, warm.data_dir / "loading")


async def test_a_crash_marker_stands_while_it_is_imported(warm: Site, host: PackHost) -> None:
    folder = warm.data_dir / "loading"
    seen = f"import os\nSEEN = os.listdir({str(folder)!r})\n"
    await in_thread(warm.rewrite, "OUT = {", f"{seen}OUT = {{")
    async with host:
        await host.run(workflow("Thread"))
    assert sys.modules["plain_pack"].SEEN == [f"plain-pack.{os.getpid()}.json"]
    assert await in_thread(CrashMarkers(folder).left_behind) == {}


DRIFT = "it is not as it was at its last import ({}); that was forgotten"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (
            "type=name, outputs=OUT",
            "type=name, width=9, outputs=OUT",
            "node type 'Coroutine', 3 more",
        ),
        ('type="NoCode"', 'type="Renamed"', "node type 'NoCode', 1 more"),
        (
            "async def stream",
            "@hookimpl\ndef run_started(event): pass\n\nasync def stream",
            "hook 'run_started'",
        ),
    ],
)
async def test_drift_is_told_and_what_was_known_is_dropped(
    old: str, new: str, what: str, warm: Site, host: PackHost, caplog: pytest.LogCaptureFixture
) -> None:
    await in_thread(warm.rewrite, old, new)
    async with host:
        with caplog.at_level(logging.WARNING, "comfytavern"):
            result = await host.run(workflow("Thread"))
    assert result.outputs == {"Thread": "thread"}
    assert host.packs.record("plain-pack").warnings == (DRIFT.format(what),)
    assert caplog.messages == [f"pack 'plain-pack' 1.0: {DRIFT.format(what)}"]
    assert not await in_thread(warm.entry("plain-pack").exists)


async def test_a_node_type_that_is_gone_fails_its_node(warm: Site, host: PackHost) -> None:
    await in_thread(warm.rewrite, '"Thread": thread', '"Other": thread')
    async with host:
        result = await host.run(workflow("Thread"))
    assert failure(result) == (
        "node 'Thread' (plain-pack:Thread) failed: pack 'plain-pack' 1.0 failed:"
        " it has no node type 'plain-pack:Thread' any more"
    )
    assert result.error is not None
    assert (result.error.pack, result.error.details["phase"]) == ("plain-pack", "nodes")
    assert host.registry.get("plain-pack:Other") is not None
    assert host.registry.get("plain-pack:Thread") is None


CLAIM = "type=name, replaces=[Replacement(type={})], outputs=OUT"


async def test_old_types_lead_to_a_pack_that_is_not_imported(site: Site) -> None:
    await in_thread(
        site.write_plain, PLAIN.replace("type=name, outputs=OUT", CLAIM.format("'Old' + name"))
    )
    await in_thread(site.manager)
    host = await in_thread(site.host)
    async with host:
        plan = await host.compile(workflow("OldThread"))
        assert host.packs.record("plain-pack").lazy
        assert site.imported() == []
        assert (await host.run(plan)).outputs == {"OldThread": "thread"}
        assert not host.packs.record("plain-pack").lazy
        assert (await host.run(workflow("OldThread"))).outputs == {"OldThread": "thread"}


async def test_old_types_that_are_claimed_anew_are_drift_as_well(
    warm: Site, host: PackHost
) -> None:
    await in_thread(warm.rewrite, "type=name, outputs=OUT", CLAIM.format("'X' + name"))
    async with host:
        assert (await host.run(workflow("Thread"))).outputs == {"Thread": "thread"}
        step = host.registry.replacement("plain-pack:XStream")
        assert step is not None
        assert step.new == "plain-pack:Stream"


async def test_old_types_that_cannot_be_claimed_fail_the_pack(warm: Site, host: PackHost) -> None:
    await in_thread(warm.rewrite, "type=name, outputs=OUT", CLAIM.format("'OldThread'"))
    async with host:
        result = await host.run(workflow("Thread"))
    assert "replaces 'plain-pack:OldThread', which node type" in failure(result)
    assert host.packs.record("plain-pack").state is PackState.CONFLICT
    assert host.registry.get("plain-pack:Thread") is None
    assert host.registry.replacement("plain-pack:OldThread") is None


# A rescan meanwhile -------------------------------------------------------------------


async def rescan(host: PackHost, site: Site, choice: PackChoice | None) -> None:
    await in_thread(lambda: host.packs.rescan(site.found(), choice=choice))


async def test_a_rescan_that_finds_the_same_imports_nothing(warm: Site, host: PackHost) -> None:
    before = host.packs.record("plain-pack")
    for choice in (None, LAZY, PackChoice(enabled=frozenset({"plain-pack"}), lazy=True)):
        await rescan(host, warm, choice)
        assert host.packs.record("plain-pack") == before
    assert warm.imported() == []


async def test_another_release_is_loaded_in_the_place_of_what_was_known(
    warm: Site, host: PackHost
) -> None:
    await in_thread(warm.write_plain, PLAIN.replace("Coroutine", "Newer"), "2.0")
    await rescan(host, warm, PackChoice(enabled=frozenset({"plain-pack"}), lazy=True))
    record = host.packs.record("plain-pack")
    assert (record.version, record.state, record.lazy) == ("2.0", PackState.LOADED, False)
    assert "plain-pack:Newer" in record.node_types


async def test_another_release_waits_where_all_are_enabled(warm: Site, host: PackHost) -> None:
    await in_thread(warm.write_plain, PLAIN.replace("Coroutine", "Newer"), "2.0")
    await rescan(host, warm, LAZY)
    record = host.packs.record("plain-pack")
    assert (record.version, record.state, record.node_types) == ("2.0", PackState.AVAILABLE, ())
    assert warm.imported() == []


@pytest.mark.parametrize("gone", [True, False])
async def test_a_pack_that_left_is_never_imported(gone: bool, warm: Site, host: PackHost) -> None:
    async with host:
        plan = await host.compile(workflow("Thread"))
        if gone:
            await in_thread(shutil.rmtree, warm.root / "plain_pack-1.0.dist-info")
        disabled = PackChoice(disabled=frozenset({"plain-pack"}), lazy=True)
        await rescan(host, warm, LAZY if gone else disabled)
        result = await host.run(plan)
        why = (
            "pack 'plain-pack' 1.0 failed: it was uninstalled while the host runs;"
            ' pip install "plain-pack"'
            if gone
            else "pack 'plain-pack' 1.0 failed: it is not enabled, so nothing of it is"
            " imported; enable it with: comfytavern packs enable plain-pack"
        )
        assert failure(result) == f"node 'Thread' (plain-pack:Thread) failed: {why}"
        await rescan(host, warm, PackChoice(enabled=frozenset({"plain-pack"}), lazy=True))
        assert warm.imported() == []
        if not gone:
            assert host.packs.record("plain-pack").lazy
            assert (await host.run(plan)).status is Status.COMPLETE


def test_references_to_a_pack_import_it_first(warm: Site) -> None:
    manager = warm.manager()
    named = manager.import_reference("plain_pack_code:named", "plain-pack")
    assert named({}, None) == {"out": "named"}
    assert not manager.record("plain-pack").lazy
    with pytest.raises(PackError, match="it has no node type 'plain-pack:Nope' any more"):
        manager.import_reference("@plain-pack:Nope", "plain-pack")
    with pytest.raises(PackError, match="its node type 'plain-pack:NoCode' has no code any more"):
        manager.import_reference("@plain-pack:NoCode", "plain-pack")
    with pytest.raises(UnknownPackError):
        manager.import_reference("@gone-pack:Nope", "gone-pack")
    with suppress(KeyError):
        del sys.modules["plain_pack_code"]


def test_scripts_of_a_pack_that_is_not_imported_are_read(site: Site) -> None:
    source = PLAIN.replace("type=name,", "type=name, client_script_url='scripts/own.js',")
    files: Mapping[str, str] = {
        "plain_pack_code.py": CODE,
        "plain_pack/__init__.py": source,
        "plain_pack/scripts/own.js": "own",
        "plain_pack/other.js": "other",
    }
    site.write("plain-pack", None, files=files)
    site.manager()
    manager = site.manager()
    assert manager.client_script("plain-pack:Thread").content == b"own"
    assert site.imported() == []
