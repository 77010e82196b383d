"""Loading packs from disk: every way to be broken, and that the others never notice."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from comfytavern._crash_markers import CrashMarkers
from comfytavern.errors import PackConflictError, PackError, PackSettingsError, UnknownPackError
from comfytavern.packs import PackChoice, PackManager, PackRecord, PackState, core_version

from ..packs_on_disk import GOOD, PacksOnDisk, packs_on_path

HOOKS = """
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl, hookspec
"""


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        yield written


def loaded(packs: PacksOnDisk, choice: PackChoice | None = None) -> PackManager:
    manager = PackManager(choice, found=packs.found())
    manager.load()
    return manager


def failure(record: PackRecord) -> tuple[str, str, str, str]:
    return record.state.value, record.phase, record.error, record.remedy


DISABLE = "disable it with: comfytavern packs disable bad-pack"
IMPORT = ("failed", "import")

# what stands in the module of bad-pack -> state, phase, error, remedy
BROKEN = {
    "import error": (
        "import tiktoken_that_is_not_there",
        (
            *IMPORT,
            "No module named 'tiktoken_that_is_not_there'",
            "install it or disable the pack",
        ),
    ),
    "own module missing": (
        "import bad_pack.inner",
        (*IMPORT, "No module named 'bad_pack.inner'; 'bad_pack' is not a package", DISABLE),
    ),
    "syntax error": (
        "def broken(:",
        (*IMPORT, "SyntaxError: invalid syntax (bad_pack.py, line 1)", DISABLE),
    ),
    "exception": (
        "raise ValueError('first line\\nsecond line')",
        (*IMPORT, "ValueError: first line", DISABLE),
    ),
    "sys.exit": ("import sys; sys.exit(3)", (*IMPORT, "it called sys.exit(3)", DISABLE)),
    "exception that cannot be shown": (
        "class Odd(BaseException):\n    def __str__(self): raise ValueError\nraise Odd",
        (*IMPORT, "Odd", DISABLE),
    ),
    "forged blame": (
        "from comfytavern.errors import PackError\nraise PackError('good-pack', 'it is bad')",
        (*IMPORT, "PackError: pack 'good-pack' failed: it is bad", DISABLE),
    ),
    "misspelt hook": (
        HOOKS + "    @hookimpl\n    def register_node(pack): return []",
        (
            "failed",
            "hooks",
            "no hook is named 'register_node'; did you mean 'register_nodes'?",
            "if another pack defines it, mark it hookimpl(optionalhook=True)",
        ),
    ),
    "wrong argument": (
        HOOKS + "    @hookimpl\n    def register_nodes(packs, host): return []",
        (
            "failed",
            "hooks",
            "hook 'register_nodes' asks for 'packs', 'host'",
            "it offers: pack",
        ),
    ),
    "keyword argument": (
        HOOKS + "    @hookimpl\n    def register_nodes(*, pack): return []",
        (
            "failed",
            "hooks",
            "hook 'register_nodes' takes 'pack' by keyword only; hooks pass arguments by position",
            "",
        ),
    ),
    "wrapper": (
        HOOKS + "    @hookimpl(wrapper=True)\n    def register_nodes(pack): return (yield)",
        (
            "failed",
            "hooks",
            (
                "hook 'register_nodes' is a wrapper; packs are asked one at a time, so there is"
                " nothing to wrap"
            ),
            "",
        ),
    ),
    "coroutine function": (
        HOOKS + "    @hookimpl\n    async def register_nodes(pack): return []",
        (
            "failed",
            "hooks",
            "hook 'register_nodes' is a coroutine function",
            "make it a plain function",
        ),
    ),
    "raising hook": (
        HOOKS + "    @hookimpl\n    def register_nodes(pack): raise OSError('no luck')",
        ("failed", "nodes", "hook 'register_nodes' raised OSError: no luck", DISABLE),
    ),
    "exiting hook": (
        HOOKS + "    @hookimpl\n    def register_nodes(pack):\n        yield exit(0)",
        ("failed", "nodes", "hook 'register_nodes' raised it called sys.exit(0)", DISABLE),
    ),
    "wrong answer": (
        HOOKS + "    @hookimpl\n    def register_nodes(pack): return {'Hello': 1}",
        (
            "failed",
            "nodes",
            "hook 'register_nodes' answered with a str; expected node definitions",
            "",
        ),
    ),
    "no answer": (
        HOOKS + "    @hookimpl\n    def register_nodes(pack): pass",
        (
            "failed",
            "nodes",
            "hook 'register_nodes' raised TypeError: 'NoneType' object is not iterable",
            DISABLE,
        ),
    ),
    "definition that does not fit": (
        HOOKS + "    @hookimpl\n    def register_nodes(pack): return [NodeDefinition(type='a b')]",
        (
            "failed",
            "nodes",
            "hook 'register_nodes' raised ValidationError: 1 validation error for NodeDefinition",
            DISABLE,
        ),
    ),
    "foreign namespace": (
        HOOKS
        + "    @hookimpl\n    def register_nodes(pack):\n"
        + "        return [NodeDefinition(type='A'), NodeDefinition(type='B', namespace='core')]",
        (
            "failed",
            "nodes",
            "node type 'B' claims the namespace 'core', which is not its own",
            (
                "leave the namespace out, or grant it in the config: packs.namespaces:"
                " {core: bad-pack}"
            ),
        ),
    ),
    "foreign code": (
        HOOKS
        + "    @hookimpl\n    def register_nodes(pack):\n"
        + "        return [NodeDefinition(type='A', execute='os:system')]",
        (
            "failed",
            "nodes",
            "node type 'A' runs 'os:system', which is no part of the distribution",
            "",
        ),
    ),
    "duplicate type": (
        HOOKS
        + "    @hookimpl\n    def register_nodes(pack):\n"
        + "        return [NodeDefinition(type='A'), NodeDefinition(type='A')]",
        (
            "conflict",
            "nodes",
            "it has two node types 'bad-pack:A' (no file)",
            "",
        ),
    ),
    "no settings model": (
        HOOKS + "    @hookimpl\n    def settings_model(pack): return dict",
        (
            "failed",
            "settings",
            "hook 'settings_model' answered with a type; expected a pydantic model class",
            "",
        ),
    ),
    "settings missing": (
        HOOKS
        + "    from pydantic import BaseModel\n    class Model(BaseModel):\n        key: str\n"
        + "    @hookimpl\n    def settings_model(pack): return Model",
        ("failed", "settings", "key: Field required", ""),
    ),
    "broken settings model": (
        HOOKS
        + "    from pydantic import BaseModel, model_validator\n    class Model(BaseModel):\n"
        + "        @model_validator(mode='before')\n"
        + "        def check(cls, value): raise KeyError('x')\n"
        + "    @hookimpl\n    def settings_model(pack): return Model",
        ("failed", "settings", "KeyError: 'x'", DISABLE),
    ),
    "hookspecs of nothing": (
        HOOKS + "    @hookimpl\n    def register_hookspecs(pack): return object()",
        (
            "failed",
            "hooks",
            "register_hookspecs returned something that carries no hookspec",
            "",
        ),
    ),
    "hookspec of the host": (
        HOOKS
        + "    class Specs:\n        @hookspec\n        def register_nodes(self): ...\n"
        + "    @hookimpl\n    def register_hookspecs(pack): return Specs()",
        (
            "conflict",
            "hooks",
            "it defines the hook 'register_nodes', which is one of the host",
            "",
        ),
    ),
    "services of nothing": (
        HOOKS + "    @hookimpl\n    def register_services(pack): return ['tokens']",
        (
            "failed",
            "services",
            "hook 'register_services' answered with a list; expected a mapping of names",
            "",
        ),
    ),
    "service that is taken": (
        HOOKS + "    @hookimpl\n    def register_services(pack): return {'a': 1, 'shared': 2}",
        ("conflict", "services", "service 'shared' is taken by pack 'a-pack'", ""),
    ),
    "runner of the host": (
        HOOKS + "    @hookimpl\n    def register_runners(pack): return {'local': print}",
        ("conflict", "runners", "runner 'local' is the host's own", ""),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_pack_fails_alone(
    packs: PacksOnDisk, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    source, expected = BROKEN[case]
    service = "@hookimpl\ndef register_services(pack): return {'shared': 1}\n"
    packs.write("a-pack", dedent(HOOKS) + service)
    packs.write("bad-pack", source)
    packs.write("good-pack")
    manager = loaded(packs)
    record = manager.record("bad-pack")
    assert failure(record) == expected
    assert (record.distribution, record.version) == ("bad-pack", "1.0")
    assert record.traceback
    assert "core/src/comfytavern/_pack" not in record.traceback
    states = [manager.record(name).state for name in ("a-pack", "good-pack")]
    assert states == [PackState.LOADED, PackState.LOADED]
    assert [node.full_type for node in manager.registry] == ["good-pack:Hello"]
    assert dict(manager.services) == {"shared": 1}
    assert "bad-pack" not in dict(manager.plugin_manager.list_name_plugin())
    error = manager.error_of("bad-pack")
    assert error is not None
    assert caplog.messages == [str(error)]


def test_a_traceback_begins_in_the_pack_and_names_no_place_of_the_machine(
    packs: PacksOnDisk,
) -> None:
    files = {
        "bad_pack/__init__.py": "import importlib\nimportlib.import_module('bad_pack.deep')\n",
        "bad_pack/deep.py": """
            def fail():
                raise ValueError('why')

            try:
                fail()
            except ValueError as exc:
                raise exc.with_traceback(exc.__traceback__) from exc
        """,
    }
    packs.write("bad-pack", None, files=files)
    assert loaded(packs).record("bad-pack").traceback == (
        "Traceback (most recent call last):\n"
        '  File "bad_pack/__init__.py", line 2, in <module>\n'
        "    importlib.import_module('bad_pack.deep')\n"
        '  File "bad_pack/deep.py", line 8, in <module>\n'
        "    raise exc.with_traceback(exc.__traceback__) from exc\n"
        '  File "bad_pack/deep.py", line 6, in <module>\n    fail()\n'
        "  File \"bad_pack/deep.py\", line 3, in fail\n    raise ValueError('why')\n"
        "ValueError: why\n"
    )


def test_a_traceback_says_what_led_to_an_error(packs: PacksOnDisk) -> None:
    source = "try:\n    import missing_lib\nexcept ImportError:\n    raise ValueError('why')"
    packs.write("bad-pack", source)
    packs.write("quiet-pack", f"{source} from None")
    manager = loaded(packs)
    last = (
        "Traceback (most recent call last):\n"
        "  File \"{}.py\", line 4, in <module>\n    raise ValueError('why'){}\n"
        "ValueError: why\n"
    )
    assert manager.record("bad-pack").traceback == (
        "Traceback (most recent call last):\n"
        '  File "bad_pack.py", line 2, in <module>\n    import missing_lib\n'
        "ModuleNotFoundError: No module named 'missing_lib'\n"
        "\nDuring handling of the above exception, another exception occurred:\n\n"
        + last.format("bad_pack", "")
    )
    assert manager.record("quiet-pack").traceback == last.format("quiet_pack", " from None")


def test_a_file_that_is_no_python_is_named_without_its_place(packs: PacksOnDisk) -> None:
    packs.write("bad-pack", "x = (\n")
    assert loaded(packs).record("bad-pack").traceback == (
        "  File \"bad_pack.py\", line 1\n    x = (\n        ^\nSyntaxError: '(' was never closed\n"
    )


@pytest.mark.parametrize(
    ("attribute", "error"),
    [
        ("plugn", "module 'bad_pack' has no attribute 'plugn'; did you mean 'plugin'?"),
        ("plugin.x", "module 'bad_pack' has no attribute 'plugin.x'"),
        (
            "number",
            "bad_pack:number is a int; expected a module or an object with hook implementations",
        ),
        (
            "nothing",
            (
                "bad_pack:nothing is a NoneType; expected a module or an object with hook"
                " implementations"
            ),
        ),
        ("lazy", "KeyError: 'lazy'"),
    ],
)
def test_missing_attribute(packs: PacksOnDisk, attribute: str, error: str) -> None:
    source = "plugin = object()\nnumber = 1\nnothing = None\ndef __getattr__(name):\n"
    source += "    if name == 'lazy': raise KeyError(name)\n    raise AttributeError(name)"
    entry = f"[comfytavern.packs]\nx = bad_pack:{attribute}\n"
    packs.write("bad-pack", source, entry_points=entry)
    record = loaded(packs).record("bad-pack")
    assert failure(record) == ("failed", "attribute", error, "")


def test_a_class_is_no_plugin(packs: PacksOnDisk) -> None:
    source = dedent(HOOKS) + dedent("""
        class Plugin:
            @hookimpl
            def register_nodes(self, pack): return []
    """)
    packs.write("bad-pack", source, entry_points="[comfytavern.packs]\nx = bad_pack:Plugin\n")
    assert failure(loaded(packs).record("bad-pack")) == (
        "failed",
        "hooks",
        (
            "hook 'register_nodes' is a method of the class 'Plugin'; let the entry point name an"
            " instance"
        ),
        "",
    )


@pytest.mark.parametrize(
    ("source", "warning"),
    [
        ("", "it implements no hook, so it adds nothing"),
        (
            "def register_nodes(pack): return []",
            "it implements no hook; 'register_nodes' is not marked with @hookimpl",
        ),
    ],
)
def test_a_pack_without_hooks_is_warned_about(
    packs: PacksOnDisk, source: str, warning: str
) -> None:
    packs.write("some-pack", source)
    record = loaded(packs).record("some-pack")
    assert (record.state, record.warnings) == (PackState.LOADED, (warning,))


def test_a_loaded_pack_on_the_wire(packs: PacksOnDisk) -> None:
    entry = "[comfytavern.packs]\nx = some_pack\n[comfytavern.commands]\ncards = some_pack:main\n"
    packs.write("Some_Pack", module="some_pack", entry_points=entry)
    manager = loaded(packs)
    record = manager.record("Some.Pack")
    assert record.import_ms is not None
    assert record.import_ms > 0
    assert json.loads(json.dumps(record.to_wire())) == {
        "distribution": "some-pack",
        "version": "1.0",
        "summary": "The pack Some_Pack.",
        "state": "loaded",
        "enabled": True,
        "phase": "",
        "error": "",
        "traceback": "",
        "remedy": "",
        "nodeTypes": ["some-pack:Hello"],
        "commands": ["cards"],
        "importMs": record.import_ms,
        "lazy": False,
        "apiRange": "<1,>=0.1",
        "warnings": [],
    }
    assert "traceback" not in record.to_wire(traceback=False)
    assert manager.plugin_manager.get_plugin("some-pack") is sys.modules["some_pack"]
    assert manager.error_of("some-pack") is None


def test_an_unknown_pack_offers_the_nearest_name(packs: PacksOnDisk) -> None:
    packs.write("some-pack")
    manager = loaded(packs, PackChoice(disabled=frozenset({"Some_Pac"}), bypass=("some-pack",)))
    with pytest.raises(UnknownPackError) as caught:
        manager.record("som-pack")
    text = "no installed pack is named 'som-pack'; did you mean 'some-pack'?"
    assert str(caught.value) == text
    [unknown] = manager.unknown_names()
    text = "no installed pack is named 'some-pac'; did you mean 'some-pack'?"
    assert str(unknown) == text


# Choosing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "state"),
    [
        (PackChoice(disabled=frozenset({"Quiet.Pack"})), "disabled"),
        (PackChoice(enabled=frozenset({"loud-pack"})), "available"),
        (PackChoice(enabled=frozenset()), "available"),
        (PackChoice(builtin_only=True), "disabled"),
    ],
)
def test_a_pack_that_is_not_enabled_is_never_imported(
    packs: PacksOnDisk, tmp_path: Path, choice: PackChoice, state: str
) -> None:
    sentinel = tmp_path / "imported"
    packs.write("quiet-pack", f"open({str(sentinel)!r}, 'w').close()")
    manager = loaded(packs, choice)
    record = manager.record("quiet-pack")
    assert not sentinel.exists()
    assert (record.state, record.enabled) == (state, False)
    assert (record.version, record.summary) == ("1.0", "The pack quiet-pack.")
    with pytest.raises(PackError) as caught:
        manager.import_reference("quiet_pack:x", "quiet-pack")
    assert str(caught.value) == (
        "pack 'quiet-pack' 1.0 failed: it is not enabled, so nothing of it is imported;"
        " enable it with: comfytavern packs enable quiet-pack"
    )
    assert not sentinel.exists()
    PackManager(found=packs.found()).load()
    assert sentinel.exists()


def test_records_are_there_before_loading(packs: PacksOnDisk) -> None:
    packs.write("a-pack", "raise ValueError")
    packs.write("b-pack")
    manager = PackManager(PackChoice(disabled=frozenset({"b-pack"})), found=packs.found())
    states = [(record.distribution, record.state, record.enabled) for record in manager.records]
    assert states == [("a-pack", "available", True), ("b-pack", "disabled", False)]


def test_strict_raises_the_first_failure(packs: PacksOnDisk) -> None:
    packs.write("bad-pack", "raise ValueError('why')")
    with pytest.raises(PackError) as caught:
        loaded(packs, PackChoice(strict=True))
    assert str(caught.value) == (
        f"pack 'bad-pack' 1.0 failed to import: ValueError: why; {DISABLE}"
    )


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        (
            "comfytavern-core>=2",
            (
                "incompatible",
                "api",
                "it is built for comfytavern-core >=2, and this is 1.4",
                'look for a release that fits: pip install --upgrade "old-pack"',
            ),
        ),
        (
            "comfytavern-core>=",
            (
                "failed",
                "metadata",
                "METADATA: the range '>=' of comfytavern-core cannot be read",
                'reinstall it: pip install --force-reinstall "old-pack"',
            ),
        ),
        ("comfytavern-core>=1.4", ("loaded", "", "", "")),
    ],
)
def test_range_of_the_core(
    packs: PacksOnDisk, tmp_path: Path, requires: str, expected: tuple[str, ...]
) -> None:
    sentinel = tmp_path / "imported"
    packs.write("old-pack", f"open({str(sentinel)!r}, 'w').close()", requires=requires)
    manager = PackManager(found=packs.found(), api_version="1.4.dev3+local")
    manager.load()
    assert failure(manager.record("old-pack")) == expected
    assert sentinel.exists() == (expected[0] == "loaded")


@pytest.mark.parametrize("requires", [None, "comfytavern-core"])
def test_no_range_is_a_warning(packs: PacksOnDisk, requires: str | None) -> None:
    packs.write("some-pack", requires=requires)
    record = loaded(packs).record("some-pack")
    assert record.state is PackState.LOADED
    assert record.warnings == (
        (
            "no range of comfytavern-core is stated; its Requires-Dist should hold one, such as"
            " comfytavern-core>=0.1,<1"
        ),
    )


def test_damaged_metadata_is_not_imported(packs: PacksOnDisk, tmp_path: Path) -> None:
    sentinel = tmp_path / "imported"
    info = packs.write("bad-pack", f"open({str(sentinel)!r}, 'w').close()")
    (info / "METADATA").write_bytes(b"\xff")
    packs.write("good-pack")
    manager = loaded(packs)
    assert failure(manager.record("bad-pack")) == (
        "failed",
        "metadata",
        "METADATA: it has no Name",
        'reinstall it: pip install --force-reinstall "bad-pack"',
    )
    assert not sentinel.exists()
    assert manager.record("good-pack").state is PackState.LOADED


# Several packs ----------------------------------------------------------------------


def test_one_entry_point_name_in_two_packs(packs: PacksOnDisk) -> None:
    for name in ("a-pack", "b-pack"):
        module = name.replace("-", "_")
        packs.write(name, entry_points=f"[comfytavern.packs]\nnodes = {module}\n")
    manager = loaded(packs)
    assert [node.full_type for node in manager.registry] == ["a-pack:Hello", "b-pack:Hello"]


def test_a_second_copy_is_a_warning(packs: PacksOnDisk, tmp_path: Path) -> None:
    packs.write("some-pack")
    hidden = packs.write("some-pack", version="2.0", source=None)
    record = loaded(packs).record("some-pack")
    assert (record.state, record.version) == (PackState.LOADED, "1.0")
    assert record.warnings == (f"a second copy is ignored: {hidden}",)


def test_several_entry_points_are_one_pack(packs: PacksOnDisk) -> None:
    other = GOOD.replace("Hello", "World")
    entry = "[comfytavern.packs]\na = some_pack\nb = other_module\nagain = some_pack\n"
    packs.write("some-pack", entry_points=entry, files={"other_module.py": other})
    manager = loaded(packs)
    assert manager.record("some-pack").node_types == ("some-pack:Hello", "some-pack:World")
    names = [name for name, _ in manager.plugin_manager.list_name_plugin()]
    assert names == ["some-pack", "some-pack#2"]


def test_one_bad_entry_point_fails_the_whole_pack(packs: PacksOnDisk) -> None:
    entry = "[comfytavern.packs]\na = bad_pack\nb = other_module\n"
    files = {"other_module.py": "raise ValueError('why')"}
    packs.write("bad-pack", entry_points=entry, files=files)
    manager = loaded(packs)
    assert failure(manager.record("bad-pack")) == (*IMPORT, "ValueError: why", DISABLE)
    assert len(manager.registry) == 0
    assert manager.plugin_manager.list_name_plugin() == []
    assert "bad_pack" not in sys.modules


def test_settings_are_answered_once(packs: PacksOnDisk) -> None:
    source = dedent(HOOKS) + "@hookimpl\ndef settings_model(pack): return None\n"
    entry = "[comfytavern.packs]\na = bad_pack\nb = other_module\n"
    packs.write("bad-pack", source, entry_points=entry, files={"other_module.py": source})
    assert failure(loaded(packs).record("bad-pack")) == (
        "failed",
        "hooks",
        "hook 'settings_model' is implemented 2 times; a pack answers it once",
        "",
    )


@pytest.mark.parametrize("owner", ["a-pack", "b-pack"])
def test_record_tells_whose_a_shared_module_is(packs: PacksOnDisk, owner: str) -> None:
    entry = "[comfytavern.packs]\nx = shared\n"
    for name in ("a-pack", "b-pack"):
        packs.write(name, GOOD if name == owner else None, module="shared", entry_points=entry)
    manager = loaded(packs)
    other = "b-pack" if owner == "a-pack" else "a-pack"
    assert manager.record(owner).state is PackState.LOADED
    assert failure(manager.record(other)) == (
        "conflict",
        "import",
        f"its entry point 'x' names the module 'shared', which belongs to pack '{owner}'",
        "",
    )


def test_the_hash_tells_whose_an_overwritten_module_is(packs: PacksOnDisk) -> None:
    packs.write("a-pack", "# overwritten", module="shared")
    packs.write("b-pack", GOOD, module="shared")
    manager = loaded(packs)
    assert manager.record("a-pack").state is PackState.CONFLICT
    assert manager.record("b-pack").state is PackState.LOADED


def test_a_module_that_is_listed_twice_and_not_there(packs: PacksOnDisk) -> None:
    for name in ("a-pack", "b-pack"):
        packs.write(name, GOOD, module="shared")
    (packs.root / "shared.py").unlink()
    states = [record.state for record in loaded(packs).records]
    assert states == [PackState.FAILED, PackState.CONFLICT]


def test_a_module_that_nobody_installed_is_the_first_ones(packs: PacksOnDisk) -> None:
    (packs.root / "stray.py").write_text(dedent(GOOD), "utf-8")
    for name in ("a-pack", "b-pack"):
        packs.write(name, None, module="stray")
    manager = loaded(packs)
    states = [record.state for record in manager.records]
    assert states == [PackState.LOADED, PackState.CONFLICT]


def test_a_module_of_a_disabled_pack_is_not_lent(packs: PacksOnDisk) -> None:
    packs.write("a-pack", None, module="b_pack")
    packs.write("b-pack")
    manager = loaded(packs, PackChoice(disabled=frozenset({"b-pack"})))
    assert manager.record("a-pack").state is PackState.CONFLICT
    assert "b_pack" not in sys.modules


def test_an_editable_pack_owns_what_lies_in_its_sources(
    packs: PacksOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "sources"
    monkeypatch.syspath_prepend(sources)
    packs.write("a-pack", None, module="shared")
    packs.write("b-pack", GOOD, module="shared", editable=sources)
    packs.write("c-pack", None, module="shared", editable=tmp_path / "elsewhere")
    manager = loaded(packs)
    states = [record.state for record in manager.records]
    assert states == [PackState.CONFLICT, PackState.LOADED, PackState.CONFLICT]


def test_one_object_is_no_two_packs(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    packs.write(
        "b-pack", "import a_pack as plugin", entry_points="[comfytavern.packs]\nx = b_pack:plugin"
    )
    manager = loaded(packs)
    assert failure(manager.record("b-pack")) == (
        "conflict",
        "hooks",
        "its plugin is the very object that pack 'a-pack' registered",
        "",
    )


def test_granted_namespace_and_alias(packs: PacksOnDisk) -> None:
    packs.write("a-pack", GOOD.replace('"Hello"', '"Hello", namespace="short"'))
    packs.write("b-pack")
    choice = PackChoice(namespaces={"short": "A_Pack"}, aliases={"core": ("b.pack",)})
    manager = loaded(packs, choice)
    assert [node.full_type for node in manager.registry] == ["short:Hello", "b-pack:Hello"]
    node = manager.registry.get("core:Hello")
    assert node is not None
    assert node.distribution == "b-pack"


def test_type_of_another_pack_through_a_granted_namespace(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    packs.write("b-pack", GOOD.replace('"Hello"', '"Hello", namespace="a-pack"'))
    manager = loaded(packs, PackChoice(namespaces={"a-pack": "b-pack"}))
    assert failure(manager.record("b-pack")) == (
        "conflict",
        "nodes",
        "node type 'a-pack:Hello' is taken by pack 'a-pack' 1.0",
        "",
    )


def test_missing_types_are_explained_from_the_records(packs: PacksOnDisk) -> None:
    packs.write("bad-pack", "raise ValueError('why')")
    packs.write("off-pack")
    manager = loaded(packs, PackChoice(disabled=frozenset({"off-pack"})))
    explain = manager.registry.explain_missing
    assert explain("bad-pack:X") == (
        f"pack 'bad-pack' 1.0 failed to load (import): ValueError: why; {DISABLE}"
    )
    assert explain("off-pack:X") == (
        "pack 'off-pack' 1.0 is disabled: comfytavern packs enable off-pack"
    )
    assert explain("core:X") == (
        "pack 'comfytavern-core-nodes' is not installed: pip install \"comfytavern-core-nodes\";"
        " pack 'comfytavern-llm-nodes' is not installed: pip install \"comfytavern-llm-nodes\""
    )


def test_commands_come_from_metadata(packs: PacksOnDisk) -> None:
    for name in ("a-pack", "b-pack", "off-pack"):
        module = name.replace("-", "_")
        entry = f"[comfytavern.commands]\ncards = {module}:main\n{name} = {module}:main\n"
        packs.write(name, "def main(): return __name__", entry_points=entry)
    manager = PackManager(PackChoice(disabled=frozenset({"off-pack"})), found=packs.found())
    listed = {name: command.distribution for name, command in manager.commands.items()}
    assert listed == {"cards": "a-pack", "a-pack": "a-pack", "b-pack": "b-pack"}
    assert manager.record("b-pack").warnings == ("its command 'cards' is taken by pack 'a-pack'",)
    assert "a_pack" not in sys.modules
    main = manager.import_reference(manager.commands["cards"].target, "a-pack")
    assert main() == "a_pack"
    manager.load()
    assert manager.record("b-pack").state is PackState.LOADED
    assert manager.record("b-pack").warnings[0] == "its command 'cards' is taken by pack 'a-pack'"


# Settings ---------------------------------------------------------------------------

WITH_SETTINGS = """
    from pydantic import BaseModel
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl

    class Channel(BaseModel):
        label: str
        retries: int = 3

    class Settings(BaseModel):
        channels: list[Channel] = []

    @hookimpl
    def settings_model(pack):
        return Settings

    @hookimpl
    def register_nodes(pack):
        return [NodeDefinition(type=channel.label) for channel in pack.settings.channels]
"""


def test_settings_are_there_before_the_nodes(packs: PacksOnDisk) -> None:
    packs.write("some-pack", WITH_SETTINGS)
    packs.write("good-pack")
    blocks = {"Some_Pack": {"channels": [{"label": "Local"}]}, "good-pack": {"a": 1}}
    manager = loaded(packs, PackChoice(settings=blocks))
    assert manager.record("some-pack").node_types == ("some-pack:Local",)
    assert manager.settings_of("some-pack").channels[0].retries == 3  # type: ignore[attr-defined]  # the pack's own model
    assert manager.settings_of("good-pack") is None
    assert manager.settings_of("nobody") is None
    assert manager.record("good-pack").warnings == (
        "the config holds settings for it, but it takes none",
    )


def test_bad_settings_stop_that_pack_only(packs: PacksOnDisk) -> None:
    packs.write("bad-pack", WITH_SETTINGS)
    packs.write("good-pack")
    secret = "sk-very-secret"
    block = {"channels": [{"label": "a"}, {"retries": secret}]}
    manager = loaded(packs, PackChoice(settings={"bad-pack": block}))
    error = manager.error_of("bad-pack")
    assert isinstance(error, PackSettingsError)
    assert error.problems == (
        (("channels", 1, "label"), "Field required"),
        (
            ("channels", 1, "retries"),
            "Input should be a valid integer, unable to parse string as an integer",
        ),
    )
    record = manager.record("bad-pack")
    assert failure(record) == (
        "failed",
        "settings",
        (
            "channels.1.label: Field required; channels.1.retries: Input should be a valid integer,"
            " unable to parse string as an integer"
        ),
        "",
    )
    assert secret not in json.dumps(record.to_wire())
    assert [node.full_type for node in manager.registry] == ["good-pack:Hello"]


# The guard --------------------------------------------------------------------------


def test_a_hostile_import_changes_nothing(
    packs: PacksOnDisk,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    packs.write(
        "loud-pack",
        f"""
        import logging, os, signal, sys, warnings
        print("first"); print("second", end="")
        sys.stdout.reconfigure(errors="strict")
        os.write(1, b"past sys.stdout\\n")
        print("past the log", file=sys.__stdout__)
        os.chdir({str(tmp_path)!r})
        sys.path.insert(0, "/somewhere")
        sys.path = list(sys.path)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, force=True)
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
        log = logging.getLogger("loud")
        log.addHandler(logging.StreamHandler(sys.stdout))
        assert sys.stdout.fileno() == 2
        """,
    )
    path, entries, root = sys.path, list(sys.path), logging.root
    handlers, level = list(root.handlers), root.level
    filters, handler = list(warnings.filters), signal.getsignal(signal.SIGTERM)
    directory = os.getcwd()
    with caplog.at_level(logging.INFO):
        level = root.level
        manager = loaded(packs)
        sys.modules["loud_pack"].log.warning("later")
    assert manager.record("loud-pack").warnings == (
        "changed the working directory; it was put back",
        "changed sys.path; it was put back",
        "changed signal handlers; it was put back",
        "changed the root logger; it was put back",
        "changed the warning filters; it was put back",
        "printed 2 lines to stdout while loading",
        "it implements no hook, so it adds nothing",
    )
    assert os.getcwd() == directory
    assert sys.path is path
    assert sys.path == entries
    assert signal.getsignal(signal.SIGTERM) is handler
    assert (handlers, level, root.manager.disable) == (root.handlers, level, 0)
    assert list(warnings.filters) == filters
    printed, errors = capfd.readouterr()
    assert printed == ""
    assert "past sys.stdout\n" in errors
    said = [r.getMessage() for r in caplog.records if r.name == "comfytavern.packs.loud-pack"]
    assert said == ["stdout: first", "stdout: second", "stdout: later"]


def test_a_removed_working_directory_is_survived(
    packs: PacksOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    packs.write("some-pack")
    record = loaded(packs).record("some-pack")
    assert (record.state, record.warnings) == (PackState.LOADED, ())


def test_a_pack_that_closes_stdout(packs: PacksOnDisk, capfd: pytest.CaptureFixture[str]) -> None:
    packs.write("some-pack", "import sys\nprint('x')\nsys.stdout.close()")
    assert "printed 1 line to stdout while loading" in loaded(packs).record("some-pack").warnings
    sys.stdout.write("still here\n")
    assert capfd.readouterr().out == "still here\n"


def test_a_pack_that_logs_its_own_output(
    packs: PacksOnDisk, caplog: pytest.LogCaptureFixture
) -> None:
    packs.write(
        "loud-pack",
        """
        import logging, sys
        log = logging.getLogger("comfytavern.packs.loud-pack")
        handler = logging.StreamHandler(sys.stdout)
        log.addHandler(handler)
        print("once")
        """,
    )
    with caplog.at_level(logging.INFO):
        loaded(packs)
    module = sys.modules["loud_pack"]
    module.log.removeHandler(module.handler)
    assert caplog.messages == ["stdout: once"]


@pytest.mark.parametrize("call", ["dup", "dup2"])
def test_a_process_without_stdout(
    packs: PacksOnDisk, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def closed(*_: int) -> int:
        raise OSError("bad file descriptor")

    packs.write("some-pack")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, closed)
        record = loaded(packs).record("some-pack")
    assert (record.state, record.warnings) == (PackState.LOADED, ())


def test_loading_in_a_thread(packs: PacksOnDisk) -> None:
    packs.write("some-pack", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)")
    manager = PackManager(found=packs.found())
    with ThreadPoolExecutor(1) as thread:
        thread.submit(manager.load).result()
    assert failure(manager.record("some-pack")) == (
        *IMPORT,
        "ValueError: signal only works in main thread of the main interpreter",
        "disable it with: comfytavern packs disable some-pack",
    )


def test_what_a_failed_import_left_is_forgotten(packs: PacksOnDisk) -> None:
    packs.write("other-lib", entry_points="[x]\n")
    packs.write(
        "bad-pack",
        None,
        files={
            "bad_pack/__init__.py": "import other_lib\nfrom . import half\nraise ValueError",
            "bad_pack/half.py": "",
        },
    )
    loaded(packs)
    assert "other_lib" in sys.modules
    assert [name for name in sys.modules if name.startswith("bad_pack")] == []


def test_a_slow_import_is_reported(packs: PacksOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfytavern._pack_import.SLOW_IMPORT_MS", -1.0)
    packs.write("some-pack")
    [warning] = loaded(packs).record("some-pack").warnings
    assert warning.endswith(" ms to import; let its nodes import what is heavy")


# Crashes ----------------------------------------------------------------------------

CRASH = """
import sys
from pathlib import Path
from comfytavern.discovery import find_packs
from comfytavern.packs import PackManager

manager = PackManager(found=find_packs([sys.argv[1]]), data_dir=Path(sys.argv[2]))
manager.load()
"""


def crash(packs: PacksOnDisk, data_dir: Path) -> int:
    command = [sys.executable, "-c", CRASH, str(packs.root), str(data_dir)]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(packs.root)}, check=False
    ).returncode


@pytest.mark.parametrize(
    ("source", "phase"),
    [
        ("import os; os._exit(7)", "import"),
        (
            dedent(HOOKS)
            + "@hookimpl\ndef register_nodes(pack):\n    import os; os._exit(7)\n    return []",
            "nodes",
        ),
    ],
)
def test_a_pack_that_killed_the_process_is_skipped(
    packs: PacksOnDisk, tmp_path: Path, source: str, phase: str
) -> None:
    packs.write("bad-pack", source)
    packs.write("good-pack")
    assert crash(packs, tmp_path / "data") == 7
    manager = PackManager(found=packs.found(), data_dir=tmp_path / "data")
    assert manager.crashed == {"bad-pack": phase}
    for _ in range(2):  # until somebody says otherwise
        manager.load()
        assert failure(manager.record("bad-pack")) == (
            "failed",
            phase,
            "it killed the process the last time it was loaded",
            "try it again with: comfytavern packs enable bad-pack",
        )
        assert manager.record("good-pack").state is PackState.LOADED
    assert manager.clear_crash_marker("Bad_Pack") is True
    assert manager.clear_crash_marker("bad-pack") is False
    assert crash(packs, tmp_path / "data") == 7


def test_a_failure_or_an_interrupt_is_no_crash(packs: PacksOnDisk, tmp_path: Path) -> None:
    packs.write("bad-pack", "raise KeyboardInterrupt")
    manager = PackManager(found=packs.found(), data_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        manager.load()
    assert list((tmp_path / "loading").iterdir()) == []


def test_a_marker_holds_what_tells_processes_apart(tmp_path: Path) -> None:
    markers = CrashMarkers(tmp_path)
    with markers.around("some-pack", "import"):
        [file] = tmp_path.iterdir()
        marker = json.loads(file.read_text("utf-8"))
        assert markers.left_behind() == {}  # this very process is alive
        assert markers.clear("some-pack") is False
        for change in (
            {"boot": "another"},
            {"started": "earlier"},
            {"pid": 2**22 + 1},
            {"pid": 0.5},
        ):
            file.write_text(json.dumps({**marker, **change}), "utf-8")
            assert markers.left_behind() == {"some-pack": "import"}
        file.write_text("cut sh", "utf-8")
        assert markers.left_behind() == {"some-pack": "import"}
        file.write_text(json.dumps({**marker, "pid": 1, "started": ""}), "utf-8")
        assert markers.left_behind() == {"some-pack": "import"}
    assert sorted(marker) == ["boot", "distribution", "phase", "pid", "started"]
    assert (marker["distribution"], marker["pid"]) == ("some-pack", os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_markers_that_vanish_or_belong_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_ours(pid: int, number: int) -> None:
        raise PermissionError

    markers = CrashMarkers(tmp_path)
    vanished = tmp_path / "some-pack.1.json"
    vanished.symlink_to(tmp_path / "nowhere")
    assert markers.left_behind() == {}
    vanished.unlink()
    with markers.around("some-pack", "import"):
        monkeypatch.setattr(os, "kill", not_ours)
        assert markers.left_behind() == {}


def test_a_pack_loads_without_its_marker_rather_than_not_at_all(
    packs: PacksOnDisk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "loading").write_text("in the way", "utf-8")
    packs.write("some-pack")
    manager = PackManager(found=packs.found(), data_dir=tmp_path)
    manager.load()
    assert manager.record("some-pack").state is PackState.LOADED
    assert caplog.messages[0].startswith("no crash marker for pack 'some-pack': ")


# The environment changes ------------------------------------------------------------


def test_rescan_loads_what_is_new(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    manager = loaded(packs)
    assert manager.rescan(packs.found()) == ()
    packs.write("b-pack")
    assert [record.distribution for record in manager.rescan(packs.found())] == ["b-pack"]
    assert [node.full_type for node in manager.registry] == ["a-pack:Hello", "b-pack:Hello"]


def test_rescan_looks_at_the_path_by_itself(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    manager = loaded(packs)
    packs.write("b-pack")
    changed = {record.distribution: record.state for record in manager.rescan()}
    assert changed["b-pack"] is PackState.LOADED
    assert "a-pack" not in changed


def test_rescan_never_reloads_what_changed(packs: PacksOnDisk) -> None:
    info = packs.write("a-pack")
    rebuilt = packs.write("b-pack")
    manager = loaded(packs)
    info.rename(info.with_name("a_pack-2.0.dist-info"))
    text = (info.with_name("a_pack-2.0.dist-info") / "METADATA").read_text("utf-8")
    (info.with_name("a_pack-2.0.dist-info") / "METADATA").write_text(
        text.replace("Version: 1.0", "Version: 2.0"), "utf-8"
    )
    packs.write_record(rebuilt, {"b_pack.py": "changed"})
    a_record, b_record = manager.rescan(packs.found())
    state, remedy = "restart-required", "restart the host"
    why = "version 1.0 is in use, 2.0 is installed"
    assert failure(a_record) == (state, "", why, remedy)
    assert failure(b_record) == (state, "", "its files have changed", remedy)
    assert manager.registry.get("a-pack:Hello") is not None
    assert manager.registry.explain_missing("a-pack:New") == (
        f"pack 'a-pack' 1.0 has no such type; {why}; {remedy}"
    )


def test_rescan_notices_edited_sources(
    packs: PacksOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "sources"
    monkeypatch.syspath_prepend(sources)
    files = {"some_pack/__init__.py": GOOD, "some_pack/more.py": "x = 1"}
    packs.write("some-pack", None, files=files, editable=sources)
    manager = loaded(packs)
    digest = manager.digest()
    assert manager.record("some-pack").state is PackState.LOADED
    assert manager.rescan(packs.found()) == ()
    (sources / "some_pack/more.py").write_text("x = 2", "utf-8")
    [record] = manager.rescan(packs.found())
    assert failure(record)[:3] == ("restart-required", "", "its files have changed")
    assert manager.digest() == digest  # what runs is still the old code


def test_rescan_takes_away_what_was_removed(packs: PacksOnDisk) -> None:
    info = packs.write("a-pack")
    packs.write("b-pack")
    manager = loaded(packs, PackChoice(disabled=frozenset({"b-pack"})))
    [record] = manager.rescan([])
    assert failure(record) == (
        "uninstalled",
        "",
        "it was uninstalled while the host runs",
        'pip install "a-pack"',
    )
    assert len(manager.registry) == 0
    assert [record.distribution for record in manager.records] == ["a-pack"]
    assert manager.registry.explain_missing("a-pack:Hello") == (
        "pack 'a-pack' 1.0 was uninstalled: pip install \"a-pack\""
    )
    assert info.exists()
    back = {record.distribution: failure(record) for record in manager.rescan(packs.found())}
    assert back["a-pack"][:3] == ("restart-required", "", "version 1.0 was installed again")


def test_rescan_takes_away_services_too(packs: PacksOnDisk) -> None:
    service = "@hookimpl\ndef register_services(pack): return {'shared': 1}\n"
    packs.write("a-pack", dedent(HOOKS) + service)
    manager = loaded(packs)
    assert dict(manager.services) == {"shared": 1}
    manager.rescan([])
    assert dict(manager.services) == {}


def test_rescan_after_loading_was_given_up(packs: PacksOnDisk) -> None:
    packs.write("a-pack")
    packs.write("b-pack", BROKEN["raising hook"][0])
    manager = PackManager(PackChoice(strict=True), found=packs.found())
    with pytest.raises(PackError, match="no luck"):
        manager.load()
    manager.rescan([])
    manager.finish()
    assert len(manager.registry) == 0


def test_rescan_tries_a_failed_import_again(packs: PacksOnDisk) -> None:
    packs.write("bad-pack", "import missing_lib\n" + dedent(GOOD))
    manager = loaded(packs)
    assert manager.record("bad-pack").state is PackState.FAILED
    assert manager.rescan(packs.found()) == ()
    (packs.root / "missing_lib.py").write_text("", "utf-8")
    [record] = manager.rescan(packs.found())
    assert (record.state, record.error) == (PackState.LOADED, "")
    assert manager.error_of("bad-pack") is None


def test_rescan_drops_the_error_of_what_is_gone(packs: PacksOnDisk) -> None:
    packs.write("bad-pack", "raise ValueError")
    manager = loaded(packs)
    assert manager.rescan([]) == ()
    assert manager.records == ()
    assert manager.error_of("bad-pack") is None


def test_digest_tells_sets_of_packs_apart(packs: PacksOnDisk) -> None:
    info = packs.write("a-pack")
    first = loaded(packs)
    assert first.digest() == loaded(packs).digest()
    digests = {first.digest(), PackManager(found=[]).digest()}
    digests.add(PackManager(found=[], api_version="9").digest())
    packs.write("b-pack")
    digests.add(loaded(packs).digest())
    packs.write_record(info, {"a_pack.py": "rebuilt"})
    digests.add(loaded(packs).digest())
    assert len(digests) == 5


def test_digest_of_sources_is_that_of_the_wheel(
    packs: PacksOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs.write("some-pack")
    wheel = loaded(packs).digest()
    del sys.modules["some_pack"]
    sources = PacksOnDisk(tmp_path / "other")
    monkeypatch.syspath_prepend(tmp_path / "sources")
    sources.write("some-pack", editable=tmp_path / "sources")
    assert loaded(sources).digest() == wheel


def test_sources_that_cannot_be_read(
    packs: PacksOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "sources"
    monkeypatch.syspath_prepend(sources)
    monkeypatch.setitem(sys.modules, "no_spec", ModuleType("no_spec"))
    packs.write("a-pack", None, files={"a_pack/__init__.py": ""}, editable=sources)
    (sources / "a_pack" / "gone.py").symlink_to(sources / "nowhere")
    packs.write("b-pack", None, module="no_spec", editable=sources)
    packs.write("c-pack", None, editable=sources)
    manager = loaded(packs)
    states = [record.state for record in manager.records]
    assert states == [PackState.LOADED, PackState.LOADED, PackState.FAILED]


def test_a_pack_that_was_found_by_other_means(packs: PacksOnDisk) -> None:
    packs.write("some-pack")
    [found] = packs.found()
    manager = PackManager(found=[replace(found, location=None)])
    manager.load()
    assert manager.record("some-pack").state is PackState.LOADED


def test_a_core_that_is_not_installed(packs: PacksOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    packs.write("some-pack", requires="comfytavern-core>=99")
    core_version.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "version", missing)
        assert loaded(packs).record("some-pack").state is PackState.LOADED
    core_version.cache_clear()


@pytest.mark.parametrize("record", [None, b"\xff"])
def test_a_pack_without_record_is_known_by_its_top_level_package(
    packs: PacksOnDisk, record: bytes | None
) -> None:
    info = packs.write("some-pack")
    (info / "RECORD").unlink()
    if record is not None:
        (info / "RECORD").write_bytes(record)
    manager = loaded(packs)
    assert manager.record("some-pack").state is PackState.LOADED
    assert manager.import_reference("some_pack:register_nodes", "some-pack") is not None


# References -------------------------------------------------------------------------


def test_references_lead_into_the_pack_only(packs: PacksOnDisk) -> None:
    packs.write(
        "some-pack",
        GOOD.replace("lambda inputs, context: {}", '"some_parts.run:execute"'),
        files={
            "some_parts/run.py": "def execute(): return 1",
            "some_parts/bad.py": "exit(2)",
            "some_parts/data.json": "{}",
        },
    )
    manager = loaded(packs)
    assert "some_parts.run" not in sys.modules
    assert manager.import_reference("some_parts.run:execute", "Some_Pack")() == 1
    expected = {
        "os:system": "'os:system' is no part of the distribution",
        "some_parts.run:exekute": (
            "'some_parts.run:exekute': module 'some_parts.run' has no attribute 'exekute'; did you"
            " mean 'execute'?"
        ),
        "some_parts.bad:x": "'some_parts.bad:x': it called sys.exit(2)",
    }
    for reference, reason in expected.items():
        with pytest.raises(PackError) as caught:
            manager.import_reference(reference, "some-pack")
        assert str(caught.value) == f"pack 'some-pack' 1.0 failed to import: {reason}"
    with pytest.raises(UnknownPackError, match="no installed pack is named 'nobody'"):
        manager.import_reference("some_parts.run:execute", "nobody")


def test_an_interrupt_passes_through_a_reference(packs: PacksOnDisk) -> None:
    packs.write("some-pack", files={"some_part.py": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        loaded(packs).import_reference("some_part:x", "some-pack")


def test_loading_twice_changes_nothing(packs: PacksOnDisk) -> None:
    packs.write("some-pack")
    manager = loaded(packs)
    before = manager.records
    manager.load()
    assert manager.records == before
    with pytest.raises(PackConflictError, match="a pack of this name is loaded already"):
        manager.add(object(), distribution="Some_Pack")
