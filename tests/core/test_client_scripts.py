"""Scripts that packs give to the page: what is found, and that nothing else of the disk is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import comfytavern_core_nodes
from comfytavern.definitions import NodeDefinition
from comfytavern.errors import PackError, UnknownClientScriptError, UnknownNodeTypeError
from comfytavern.hookspecs import hookimpl
from comfytavern.packs import ClientScript, PackChoice, PackManager, PackState

from ..packs_on_disk import PacksOnDisk, packs_on_path

JAVASCRIPT = "text/javascript; charset=utf-8"
SOURCE = """
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl

    @hookimpl
    def register_nodes(pack):
        return [
            NodeDefinition(type="Own", client_script_url="scripts/own.js"),
            NodeDefinition(type="Top", client_script_url="top.mjs"),
            NodeDefinition(type="None"),
            NodeDefinition(type="Gone", client_script_url="scripts/gone.js"),
        ]
"""
FILES = {
    "some_pack/__init__.py": SOURCE,
    "some_pack/top.mjs": "top",
    "some_pack/secret.js": "secret",
    "some_pack/scripts/own.js": "own",
    "some_pack/scripts/lib/more.mjs": "more",
    "some_pack/scripts/style.css": "css",
    "some_pack/scripts/own.js.map": "map",
    "some_pack/scripts/data.json": "{}",
    "some_pack/scripts/数字 +@.js".replace(" ", ""): "digits",
    "some_pack/scripts/page.html": "html",
    "some_pack/scripts/code.py": "code",
    "some_pack/scripts/.hidden.js": "hidden",
    "some_pack/scripts/plain": "plain",
    "other_pack/scripts/own.js": "not this one",
}


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        yield written


def loaded(packs: PacksOnDisk, choice: PackChoice | None = None) -> PackManager:
    manager = PackManager(choice, found=packs.found())
    manager.load()
    return manager


def written(packs: PacksOnDisk) -> PackManager:
    packs.write("some-pack", None, files=FILES)
    return loaded(packs)


def refusal(manager: PackManager, name: str | None, full_type: str = "some-pack:Own") -> str:
    with pytest.raises(UnknownClientScriptError) as caught:
        manager.client_script(full_type, name)
    assert caught.value.code == "unknown_client_script"
    return str(caught.value)


# What is found ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "script"),
    [
        (None, ClientScript("own.js", b"own", JAVASCRIPT)),
        ("own.js", ClientScript("own.js", b"own", JAVASCRIPT)),
        ("lib/more.mjs", ClientScript("lib/more.mjs", b"more", JAVASCRIPT)),
        ("style.css", ClientScript("style.css", b"css", "text/css; charset=utf-8")),
        ("own.js.map", ClientScript("own.js.map", b"map", "application/json")),
        ("data.json", ClientScript("data.json", b"{}", "application/json")),
        ("数字+@.js", ClientScript("数字+@.js", b"digits", JAVASCRIPT)),
    ],
)
def test_a_script_and_what_lies_beside_it(
    packs: PacksOnDisk, name: str | None, script: ClientScript
) -> None:
    assert written(packs).client_script("some-pack:Own", name) == script


def test_a_script_beside_the_modules(packs: PacksOnDisk) -> None:
    manager = written(packs)
    assert manager.client_script("some-pack:Top").content == b"top"
    assert manager.client_script("some-pack:Top", "scripts/own.js").content == b"own"


def test_a_type_under_an_alias_has_its_script(packs: PacksOnDisk) -> None:
    packs.write("some-pack", None, files=FILES)
    manager = loaded(packs, PackChoice(aliases={"core": ("some-pack",)}))
    assert manager.client_script("core:Own").content == b"own"


def test_a_script_of_an_editable_pack(
    packs: PacksOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "sources"
    monkeypatch.syspath_prepend(sources)
    packs.write("some-pack", None, files=FILES, editable=sources)
    manager = loaded(packs)
    assert manager.client_script("some-pack:Own").content == b"own"
    (sources / "some_pack/scripts/own.js").write_text("edited", "utf-8")
    assert manager.client_script("some-pack:Own").content == b"edited"
    refusal(manager, "../secret.js")


def test_the_package_of_the_node_is_looked_at_first(packs: PacksOnDisk) -> None:
    source = SOURCE.replace('type="Own",', 'type="Own", file_path="z_part/node.py",')
    entry = "[comfytavern.packs]\na = a_part\nz = z_part\n"
    files = {
        "a_part/__init__.py": source,
        "a_part/scripts/own.js": "of a",
        "z_part/__init__.py": "",
        "z_part/scripts/own.js": "of z",
        "z_part/scripts/gone.js": "only in z",
    }
    packs.write("some-pack", None, entry_points=entry, files=files)
    manager = loaded(packs)
    assert manager.client_script("some-pack:Own").content == b"of z"
    assert manager.client_script("some-pack:Gone").content == b"only in z"


def test_a_script_of_a_built_in_pack() -> None:
    manager = PackManager(found=[])
    manager.add(comfytavern_core_nodes, distribution="comfytavern-core-nodes")
    script = manager.client_script("core:RandomNumber")
    assert (script.name, script.media_type) == ("RandomNumber.js", JAVASCRIPT)
    assert b"export" in script.content


# What is not ------------------------------------------------------------------------

OUTSIDE = (
    "../secret.js",
    "../../other_pack/scripts/own.js",
    "lib/../own.js",
    "./own.js",
    "lib//more.mjs",
    "lib/",
    "/own.js",
    "//own.js",
    "..\\secret.js",
    "lib\\more.mjs",
    "C:\\own.js",
    "C:own.js",
    "\\\\server\\own.js",
    "%2e%2e/secret.js",
    "..%2fsecret.js",
    "%252e%252e%252fsecret.js",
    "own.js\0",
    "own.js\0.css",
    "own.js\n",
    "own.js ",
    "own.js:stream",
    "own.js::$DATA",
    "own.js?raw",
    "own.js#a",
    "~/own.js",
    "..",
    ".",
    "",
    "\u2025/secret.js",
    "\uff0e\uff0e/secret.js",
    "\ud83d.js",
    ".hidden.js",
    "page.html",
    "code.py",
    "plain",
    "own.JS",
    "lib",
    "nothing.js",
    "nothing.py",
    "CON.js",
    "lib/more.mjs/x.js",
    "a" * 300 + ".js",
    "/".join("a" * 5000) + ".js",
)


@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: ascii(name)[:30])
def test_what_lies_elsewhere_is_refused(packs: PacksOnDisk, name: str) -> None:
    manager = written(packs)
    text = f"node type 'some-pack:Own' has no client script {name!r}"
    assert refusal(manager, name) == text
    absolute = str(packs.root / "some_pack/scripts/own.js")
    assert absolute in refusal(manager, absolute)


@pytest.mark.parametrize("name", ["../{}.js", "/{}.js", "%2e%2e/{}.js", "{}.py", "out/{}.js"])
def test_the_refusal_is_the_same_whether_something_is_there(packs: PacksOnDisk, name: str) -> None:
    files = {"some_pack/scripts/secret.py": "", "elsewhere/secret.js": ""}
    packs.write("some-pack", None, files=FILES | files)
    (packs.root / "some_pack/scripts/out").symlink_to(packs.root / "elsewhere")
    manager = loaded(packs)
    present = refusal(manager, name.format("secret"))
    absent = refusal(manager, name.format("zzzzzz"))
    assert present.replace("secret", "zzzzzz") == absent


def test_links_that_lead_out_are_refused(
    packs: PacksOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "sources"
    monkeypatch.syspath_prepend(sources)
    packs.write("some-pack", None, files=FILES, editable=sources)
    scripts = sources / "some_pack/scripts"
    (tmp_path / "outside.js").write_text("outside", "utf-8")
    (scripts / "out.js").symlink_to(tmp_path / "outside.js")
    (scripts / "up.js").symlink_to(scripts.parent / "secret.js")
    (scripts / "code.js").symlink_to(scripts / "code.py")
    (scripts / "loop.js").symlink_to(scripts / "loop.js")
    (scripts / "folder.js").mkdir()
    (scripts / "inside.js").symlink_to(scripts / "own.js")
    os.mkfifo(scripts / "pipe.js")
    manager = loaded(packs)
    for name in ("out.js", "up.js", "code.js", "loop.js", "folder.js", "pipe.js"):
        assert refusal(manager, name) == f"node type 'some-pack:Own' has no client script {name!r}"
    assert manager.client_script("some-pack:Own", "inside.js").content == b"own"
    scripts.rename(tmp_path / "scripts")
    scripts.symlink_to(tmp_path / "scripts")
    refusal(manager, "own.js")
    refusal(manager, None)


def test_a_file_that_the_distribution_did_not_install_is_not_its_own(packs: PacksOnDisk) -> None:
    manager = written(packs)
    (packs.root / "some_pack/scripts/stray.js").write_text("stray", "utf-8")
    refusal(manager, "stray.js")


def test_a_node_without_script_has_nothing_beside_it(packs: PacksOnDisk) -> None:
    manager = written(packs)
    assert refusal(manager, None, "some-pack:None") == (
        "node type 'some-pack:None' has no client script"
    )
    assert refusal(manager, "own.js", "some-pack:None") == (
        "node type 'some-pack:None' has no client script 'own.js'"
    )
    assert refusal(manager, None, "some-pack:Gone") == (
        "node type 'some-pack:Gone' has no client script 'scripts/gone.js'"
    )


def test_a_pack_that_is_no_package_has_no_folder(
    packs: PacksOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs.write("some-pack", SOURCE, files={"scripts/own.js": "own"})
    manager = loaded(packs)
    refusal(manager, None)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "some_pack", ModuleType("some_pack"))  # without a spec
        refusal(manager, None)


def test_a_script_that_is_too_large(packs: PacksOnDisk) -> None:
    limit = 2 * 1024 * 1024
    files = {
        "some_pack/scripts/full.js": "x" * limit,
        "some_pack/scripts/big.js": "x" * limit + "x",
    }
    packs.write("some-pack", None, files=FILES | files)
    manager = loaded(packs)
    assert len(manager.client_script("some-pack:Own", "full.js").content) == limit
    assert refusal(manager, "big.js") == (
        "the client script 'big.js' of node type 'some-pack:Own' is larger than 2 MiB"
    )


def test_an_unknown_type_is_explained(packs: PacksOnDisk) -> None:
    manager = written(packs)
    expected = {
        "some-pack:Onw": (
            "unknown node type 'some-pack:Onw'; pack 'some-pack' 1.0 has no such type;"
            " did you mean 'some-pack:Own'?"
        ),
        "nobody:X": (
            "unknown node type 'nobody:X'; pack 'nobody' is not installed: pip install \"nobody\""
        ),
        "Own": (
            "unknown node type 'Own'; a full type is 'namespace:Type';"
            " did you mean 'some-pack:Own'?"
        ),
    }
    for full_type, text in expected.items():
        with pytest.raises(UnknownNodeTypeError) as caught:
            manager.client_script(full_type)
        assert (str(caught.value), caught.value.code) == (text, "unknown_node_type")
        assert isinstance(caught.value, LookupError)


def test_a_pack_that_left_has_no_scripts(packs: PacksOnDisk) -> None:
    manager = written(packs)
    manager.rescan(packs.found(), choice=PackChoice(enabled=frozenset()))
    with pytest.raises(UnknownNodeTypeError, match="is installed but not enabled"):
        manager.client_script("some-pack:Own")


# What a definition may name ---------------------------------------------------------


class Scripted:
    def __init__(self, url: str) -> None:
        self.url = url

    @hookimpl
    def register_nodes(self) -> Iterable[NodeDefinition]:
        return [NodeDefinition(type="Fine"), NodeDefinition(type="X", client_script_url=self.url)]


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example/x.js",
        "http://127.0.0.1/x.js",
        "//cdn.example/x.js",
        "/scripts/x.js",
        "../x.js",
        "scripts/../../x.js",
        "scripts\\x.js",
        "file:///etc/x.js",
        "javascript:alert(1)//x.js",
        "data:text/javascript;base64," + "A" * 1000,
        "scripts/x.css",
        "scripts/x.html",
        "scripts/x.js?v=1",
        "scripts/",
        "",
    ],
    ids=lambda url: url[:30],
)
def test_a_script_outside_the_pack_is_the_packs_failure(url: str) -> None:
    manager = PackManager(found=[])
    with pytest.raises(PackError) as caught:
        manager.add(Scripted(url), distribution="some-pack", version="1.0")
    assert str(caught.value) == (
        f"pack 'some-pack' 1.0 failed: node type 'X' names the client script {url[:100]!r}, which"
        " can be no file of its package; name a .js or .mjs file relative to the package:"
        " client_scripts/Name.js"
    )
    record = manager.record("some-pack")
    assert (record.state, record.phase) == (PackState.FAILED, "nodes")
    assert len(manager.registry) == 0
