"""What becomes code and what does not: no source in a request, no object out of stored bytes.

One class per row of the checklist; ``docs/security.md`` says what closes each. The gates look
at every file that is installed.
"""

from __future__ import annotations

import ast
import json
import os
import random
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest

from comfytavern_hostapp.routes import ENDPOINTS

from ..hostapp.test_cli_support import CommandLine, node, workflow
from ..hostapp.test_serve import served
from ..hostapp.whole_app import whole_app
from ..scenarios.building import flow, place
from .security_routes import READING, RUN, over_http, path_of

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("core/src", "hostapp/src", "packages")
BUILT_IN = ("comfytavern-core-nodes", "comfytavern-llm-nodes")


@cache
def sources() -> dict[str, ast.Module]:
    """Return every installed module by its path, parsed."""
    found = [file for top in SOURCES for file in (ROOT / top).rglob("*.py") if "src" in file.parts]
    assert len(found) > 200
    return {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text("utf-8")) for file in found}


def nodes_of(kind: type[ast.AST]) -> Iterator[tuple[str, Any]]:  # Any: of that kind
    """Yield each node of a kind with the file it stands in."""
    for name, module in sources().items():
        for found in ast.walk(module):
            if isinstance(found, kind):
                yield name, found


def imported() -> Iterator[tuple[str, str]]:
    """Yield each absolute import with the file it stands in."""
    for name, found in nodes_of(ast.Import):
        yield from ((name, alias.name) for alias in found.names)
    for name, found in nodes_of(ast.ImportFrom):
        if not found.level:
            yield from ((name, f"{found.module}.{alias.name}") for alias in found.names)


def beside(files: set[str], *allowed: str) -> set[str]:
    """Return the files that are none of those that may."""
    return {file for file in files if not file.endswith(allowed)}


# Plans are compiled too; these files say so to the compiler or are it.
COMPILE_PLANS = ("host.py", "local_runner.py", "testing.py", "compiler.py", "runs/submission.py")
# What a pack's entry point or node definition names, and the names of core's own modules.
IMPORT_BY_NAME = ("core/src/comfytavern/_pack_import.py", "core/src/comfytavern/__init__.py")
IMPORT_OF_NODES = "core/src/comfytavern/engine.py"


class TestCodeFromRequests:
    """Row 8: a graph, a template or a request that becomes code."""

    def test_nothing_turns_text_into_code(self) -> None:
        makers = ("eval", "exec", "compile", "execfile", "__import__", "FunctionType", "CodeType")
        calls = {
            (name, ast.unparse(call.func).rpartition(".")[2])
            for name, call in nodes_of(ast.Call)
            if not ast.unparse(call.func).endswith((".compile", ".exec"))
        }
        assert {call for call in calls if call[1] in makers} == {(IMPORT_OF_NODES, "__import__")}
        by_name = {name for name, maker in calls if maker == "import_module"}
        assert beside(by_name, *IMPORT_BY_NAME) == set()
        modules = {"runpy", "code", "codeop", "builtins", "types.FunctionType", "types.CodeType"}
        assert {pair for pair in imported() if pair[1] in modules} == set()

    def test_what_is_compiled_is_a_regular_expression_or_a_plan(self) -> None:
        compiled = {
            name
            for name, call in nodes_of(ast.Call)
            if isinstance(call.func, ast.Attribute)
            and call.func.attr == "compile"
            and ast.unparse(call.func.value) not in ("re", "regex")
        }
        assert beside(compiled, *COMPILE_PLANS) == set()

    def test_scripts_for_the_page_make_no_code_either(self) -> None:
        scripts = [file for file in (ROOT / "packages").rglob("*.js") if "src" in file.parts]
        assert scripts
        for script in scripts:
            made = r"\beval\(|\bFunction\(|innerHTML|document\.write|insertAdjacentHTML"
            assert not re.search(made, script.read_text("utf-8")), script

    def test_no_request_takes_source(self) -> None:
        models = [model for e in ENDPOINTS for model in (e.body, e.query) if model is not None]
        names = {name for model in models for name in model.model_fields}
        assert {"workflow", "inputs", "settings"} <= names
        assert names.isdisjoint({"code", "source", "script", "module", "python", "expression"})

    async def test_a_workflow_names_no_module(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        planted = anyio.Path(tmp_path / "site" / "planted_module.py")
        await planted.parent.mkdir()
        await planted.write_text("import os; os.mkdir(os.environ['PLANTED'])")
        monkeypatch.syspath_prepend(planted.parent)
        monkeypatch.setenv("PLANTED", str(tmp_path / "imported"))
        reference = "planted_module:run"
        keys = ("execute", "module", "class", "$type", "__class__", "__reduce__", "lc", "_target_")
        extra = dict.fromkeys(keys, reference)
        documents = [
            flow(place("a", "Repeat", text="x"), **extra),
            flow({**place("a", "Repeat", text="x"), **extra}),
            flow({**place("a", "Repeat", text="x"), "inputs": {"text": "x", **extra}}),
            flow({**place("a", "Repeat", text="x"), "configValues": extra}),
            *(flow({"id": "a", "fullType": kind}) for kind in (reference, "os:system", "a.b:c")),
            flow({"id": "a", "fullType": "core:NodeGroup", "configValues": {
                "referencedWorkflowId": reference}}),
        ]  # fmt: skip
        async with whole_app(tmp_path / "data", packs=BUILT_IN) as app:
            for document in documents:
                answer = await app.send("POST /api/prompt", document)
                assert answer.status in (202, 422)
                if answer.status == 202:
                    run_id = json.loads(answer.body)["promptId"]
                    await app.ask(f"GET /api/prompt/{run_id}/events")
        assert not await anyio.Path(tmp_path / "imported").exists()
        assert "planted_module" not in sys.modules

    @pytest.mark.parametrize(
        "template",
        [
            "{{''.__class__.__mro__}}",
            "{{self.__init__.__globals__}}",
            "{0.__class__.__init__.__globals__}",
            "{user.__class__}",
            "%(__class__)s ${7*191} #{7*191} <%= 7*191 %> {{7*191}} {{= 7*191 }}",
            "{% import os %}{{os.getcwd()}}",
            "{{constructor.constructor('return process')()}}",
            "{{random::{{user.__class__}}::x}}{{setvar::__class__::x}}{{getvar::__class__}}",
        ],
    )
    async def test_no_template_reaches_an_object(self, tmp_path: Path, template: str) -> None:
        async with whole_app(tmp_path, packs=BUILT_IN) as app:
            inputs = {"message": template, "name": template}
            body = {"workflowId": "tavern-chat", "inputs": inputs}
            run_id = json.loads((await app.send("POST /api/prompt", body)).body)["promptId"]
            with anyio.fail_after(10):
                await app.ask(f"GET /api/prompt/{run_id}/events")
            answer = await app.ask(f"GET /api/prompt/{run_id}?nodeOutputs=true")
        run = json.loads(answer.body)
        assert run["status"] == "complete"
        made = ("<class", "<built-in", "<module", "built-in function", "1337", str(ROOT))
        assert not [text for text in made if text in json.dumps(run)]


class TestStoredObjects:
    """Row 9: bytes that become objects when they are read back."""

    def test_nothing_reads_objects_from_bytes(self) -> None:
        readers = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
        readers |= {
            "jsonpickle",
            "torch",
            "numpy",
            "pandas",
            "copyreg",
            "dbm",
            "xmlrpc",
            "plistlib",
        }
        assert {pair for pair in imported() if pair[1].partition(".")[0] in readers} == set()

    def test_yaml_makes_nothing_but_plain_values(self) -> None:
        named = {(name, found.attr) for name, found in nodes_of(ast.Attribute)
                 if ast.unparse(found.value) == "yaml"}  # fmt: skip
        for function in ("unsafe_load", "full_load", "load_all", "add_constructor", "YAMLObject"):
            assert not [file for file, attribute in named if attribute == function]
        loaders = {attribute for _, attribute in named if attribute.endswith("Loader")}
        assert loaders <= {"SafeLoader", "BaseLoader"}
        # Its second argument is a class made of one of these, in the same file.
        loads = {file for file, attribute in named if attribute == "load"}
        assert beside(loads, "regexes/rule_files.py") == set()
        assert not [name for _, name in imported() if name.startswith("ruamel")]

    @pytest.mark.timeout(60)
    async def test_rows_that_somebody_planted_are_errors_and_nothing_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PLANTED", str(tmp_path / "made"))
        async with whole_app(tmp_path / "data") as app:
            run_ids = []
            for _ in range(3):
                answer = await app.send("POST /api/prompt", RUN, "idempotency-key: a")
                run_ids.append(json.loads(answer.body)["promptId"])
                await app.ask(f"GET /api/prompt/{run_ids[-1]}/events")
        before = packages()
        chance = random.Random(8)
        for _ in range(25):
            await anyio.to_thread.run_sync(plant, tmp_path / "data" / "runs.sqlite3", chance)
            async with whole_app(tmp_path / "data") as app:
                for endpoint in READING:
                    for run_id in {*run_ids, "planted"}:
                        answer = await app.ask(f"GET {path_of(endpoint, run_id)}")
                        assert answer.status in (200, 204, 404, 422, 500, 503)
                        if answer.status >= 400:
                            assert list(json.loads(answer.body)) == ["error"]
        assert not await anyio.Path(tmp_path / "made").exists()
        assert packages() - before <= set(sys.stdlib_module_names)

    async def test_names_of_attributes_are_names_like_others(self, tmp_path: Path) -> None:
        names = ("__class__", "__init__.__globals__", "__class__.name", "__dict__", "constructor")
        async with whole_app(tmp_path) as app:
            for name in names:
                placed = place("a", "Repeat", text="x")
                for document in (
                    {**RUN, "inputs": {name: {"name": "planted"}}},
                    {**RUN, name: {"name": "planted"}},
                    flow({**placed, "configValues": {name: "planted"}}),
                    flow({**placed, "inputs": {"text": "x", name: "planted"}}),
                    flow({**placed, name: "planted"}),
                ):
                    answer = await app.send("POST /api/prompt", document)
                    assert answer.status in (202, 422)
                saved = await app.send("PUT /api/workflows/a", {**RUN, name: {"name": "planted"}})
                assert saved.status in (200, 201)
                stored = json.loads((await app.ask("GET /api/workflows/a")).body)
                assert stored[name] == {"name": "planted"}
            answer = await app.send("POST /api/prompt", RUN)
            run_id = json.loads(answer.body)["promptId"]
            await app.ask(f"GET /api/prompt/{run_id}/events")
            run = json.loads((await app.ask(f"GET /api/prompt/{run_id}")).body)
        assert run["status"] == "complete"


def packages() -> set[str]:
    """Return the packages of which something was imported."""
    return {name.partition(".")[0] for name in sys.modules}


# Read as a pickle, each would make a folder.
PICKLE = b"cos\nsystem\n(S'mkdir \"$PLANTED\"'\ntR."
HOSTILE = {
    "BLOB": (
        PICKLE,
        b"\x80\x04\x95" + PICKLE,
        b'{"py/object": "os.system", "py/reduce": ["mkdir"]}',
        b'{"__class__": "planted", "__reduce__": "os.system", "$type": "os.system"}',
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 5000,
    ),
    "TEXT": (
        "queued",
        "running",
        "!!python/object/apply:os.system ['mkdir $PLANTED']",
        "' OR 1=1; DROP TABLE runs; --",
        "../../../etc/passwd",
        "<script>",
        "",
    ),
}


def plant(file: Path, chance: random.Random) -> None:
    """Put something into some of the texts and bytes of the stored runs."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        query = "SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c"
        query += " WHERE m.type = 'table' AND c.type IN ('TEXT', 'BLOB') AND c.name <> 'run_id'"
        for table, column, kind in connection.execute(query).fetchall():
            if chance.random() < 0.3:
                update = f"UPDATE OR IGNORE {table} SET {column} = ?"
                connection.execute(update, (chance.choice(HOSTILE[kind]),))


# Leaves a folder behind when it is imported.
SENTINEL = """
import os
os.mkdir(os.environ["PLANTED"])
from comfytavern.definitions import NodeDefinition
from comfytavern.hookspecs import hookimpl

@hookimpl
def register_nodes(pack):
    return [NodeDefinition(type="Hello", execute="planted_pack:run")]
"""


class TestPacksThatAreNotEnabled:
    """Row 17, as far as it goes without looking through what is installed: never imported."""

    @pytest.mark.parametrize("packs", ["{enabled: [test-nodes]}", "{disabled: [planted-pack]}"])
    def test_they_are_never_imported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packs: str
    ) -> None:
        command = CommandLine(tmp_path, monkeypatch).with_nodes()
        commands = "[comfytavern.commands]\nplanted = planted_pack:verb\n"
        command.packs().write(
            "planted-pack",
            SENTINEL,
            entry_points=f"[comfytavern.packs]\nplanted = planted_pack\n{commands}",
        )
        command.write("comfytavern.yaml", f"packs: {packs}\n")
        environment = {"PLANTED": str(tmp_path / "imported")}
        with served(command, environment=environment) as server:
            url = server.url()
            listed = json.loads(over_http(url, "GET", "/api/plugins"))
            [entry] = [pack for pack in listed if pack["distribution"] == "planted-pack"]
            assert entry["state"] in ("available", "disabled")
            named = workflow(node("a", "planted-pack:Hello"))
            refused = json.loads(over_http(url, "POST", "/api/prompt", named))
            assert "planted-pack" in refused["error"]["message"]
            for method, path in (
                ("POST", "/api/nodes/reload"),
                ("GET", "/api/nodes"),
                ("GET", "/api/nodes/planted-pack/Hello"),
                ("GET", "/api/nodes/planted-pack/Hello/client-script/a.js"),
                ("GET", "/api/plugins/planted-pack"),
                ("GET", "/api/plugins/planted-pack/settings-schema"),
            ):
                over_http(url, method, path)
            check = "/api/plugins/planted-pack/settings-check"
            over_http(url, "POST", check, {"settings": {}})
            server.end()
        for verb in (["packs", "list"], ["nodes", "list"], ["--help"], ["planted"]):
            command.run(*verb, environment=environment)
        assert not os.path.lexists(tmp_path / "imported")
        command.write("comfytavern.yaml", "packs: {}\n")
        command.run("nodes", "list", environment=environment)
        assert os.path.lexists(tmp_path / "imported")  # it would have told
