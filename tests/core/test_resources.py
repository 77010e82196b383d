"""The door to files: what it reads, and that it tells nothing about what it does not read."""

from __future__ import annotations

import os
import re
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import comfytavern.resources as module
from comfytavern.errors import ResourceError
from comfytavern.resources import DEFAULT_RESOURCE_LIMIT, REFUSED, ResourceStore, split_name

OUTSIDE = b"what nobody may read"
FILES = {
    "outside.txt": OUTSIDE,
    "elsewhere/secret.txt": OUTSIDE,
    "data/resources/shared/card.png": b"shared card",
    "data/resources/shared/deep/er/book.json": b"book",
    "data/resources/system/preset.json": b"preset",
    "data/resources/users/default/mine.txt": b"of nobody",
    "data/resources/users/bob/mine.txt": b"of bob",
    "cards/face.png": b"0123456789",
    "flow/card.json": b"beside the workflow",
    "flow/.env": OUTSIDE,
    "allowed/book.json": b"allowed book",
    "allowed/.cache/book.json": b"cached",
    "allowed-not/book.json": OUTSIDE,
}
Answers = list[bytes | str]


class Tree:
    """Files, a store that may read some, and the loop to read them on: only there, none blocks."""

    def __init__(self, path: Path, backend: str) -> None:
        self.path = path
        self.backend = backend
        roots, allowed = {"cards": path / "cards"}, [path / "allowed"]
        self.store = ResourceStore(path / "data", roots=roots, allowed=allowed, base=path / "flow")

    def read(self, *names: str, store: ResourceStore | None = None, limit: int = 64) -> Answers:
        """Return for each name its bytes, or the reason why there are none."""
        answers: Answers = []

        async def read() -> None:
            for name in names:
                try:
                    answers.append(await (store or self.store).read(name, limit=limit))
                except ResourceError as exc:  # a cause would show paths of this machine
                    answers.append(exc.reason if exc.__cause__ is None else str(exc.__cause__))

        anyio.run(read, backend=self.backend)
        return answers


@pytest.fixture
def tree(tmp_path: Path, anyio_backend: str) -> Tree:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return Tree(tmp_path, anyio_backend)


def test_files_are_read_by_name(tree: Tree) -> None:
    names = ["shared://card.png", "shared://deep/er/book.json", "system://preset.json"]
    assert tree.read(*names) == [b"shared card", b"book", b"preset"]
    assert tree.read("user://mine.txt", "cards://face.png") == [b"of nobody", b"0123456789"]
    assert tree.read("card.json", "./card.json") == [b"beside the workflow"] * 2
    for odd in ("caf\u00e9 \U0001f600.png", "100%.png", "a (1) [x] #2.png", "50%25", "CONSOLE"):
        (tree.path / "cards" / odd).write_bytes(b"odd")
        assert tree.read(f"cards://{odd}") == [b"odd"]


def test_what_is_missing_is_told_in_terms_of_the_name(tree: Tree) -> None:
    for root in ("shared", "user", "system", "cards"):
        names = [f"{root}://none", f"{root}://none/none", f"{root}://card.png/none"]
        assert tree.read(*names) == [f"not found below {root}://"] * 3
    beside = "not found below the folder of the workflow"
    assert tree.read("none.json", "~/x") == [beside] * 2
    away = ResourceStore(tree.path / "away", base=tree.path / "away")
    assert tree.read("shared://a", "a", store=away) == ["not found below shared://", beside]
    nothing = ResourceStore(None).for_user("bob")
    assert tree.read("shared://a", "user://a", "a", store=nothing) == [REFUSED] * 3


def test_of_nested_allowed_folders_the_inner_one_decides(tree: Tree) -> None:
    allowed, hidden = tree.path / "allowed", tree.path / "allowed/.cache"
    names = [str(allowed / "book.json"), str(hidden / "book.json"), str(allowed / "none")]
    missing = "not found below the folder that the operator allowed"
    outer = ResourceStore(None, allowed=[allowed])
    assert tree.read(*names, store=outer) == [b"allowed book", REFUSED, missing]
    both = ResourceStore(None, allowed=[allowed, hidden])
    assert tree.read(*names, store=both) == [b"allowed book", b"cached", missing]


# Ways out, and what might be taken for one. {} is a file that is there, or one that is not.
WAYS_OUT = [
    *r"""
    ../{} deep/../../{} deep/er/../../../{} ./../{} ..//{} //{} deep/./{} deep//{} {}/ ..\{} \{}
    deep\..\..\{} C:\{} C:/{} C:{} c:{} \\server\share\{} //server/share/{} \\?\C:\{} \\.\{} {}.
    ..%2f{} %2e%2e/{} %2E%2E%2F{} %252e%252e%252f{} ..%255c{} ..%5c{} ..%c0%af{} %c0%ae%c0%ae/{}
    %00{} %43%3a/{} {}::$DATA {}:stream {}... .{} .ssh/{} .../{} CON/{} NUL/{} aux.{} com1.{}
    LPT9.{} CONIN$/{} prn.tar.{} file:///{} file://localhost/{} http://127.0.0.1/{} nobody://{}
    shared:{} shared:///{} SHARED://{} shared://shared://{} ://{}
    """.split(),
    *"\uff0e\uff0e/{} ..\uff0f{} ..\uff3c{} ..\ufe68{} \u2025/{} \u2024\u2024/{}".split(),
    *"\uff05\uff12\uff45./{} \u2100/{} COM\u00b9.{} \uff23\uff2f\uff2e.{} \ud800{}".split(),
    *("{}\0", "{}\0.png", "\0{}", "a\nb/{}", "a\x85b/{}", "{} ", "{}\u00a0", "con .{}"),
    *("a" * 256 + "/{}", "\u00e9" * 128 + "/{}", "a/" * 600 + "{}", "a" * 100_000 + "{}"),
    "%" + "25" * 20 + "2e/{}",
]
NO_FILE = """
    /etc/passwd /etc/none / /dev/null /dev/stdin /proc/self/environ /proc/self/cwd/pyproject.toml
    //etc/passwd . .. ~/.bashrc shared:// user:// cards:// nobody:// nul CON PRN.txt LPT1 COM0 .env
    clock$ shared://deep shared://deep/er
""".split()


def test_ways_out_are_refused_whether_or_not_something_is_there(tree: Tree) -> None:
    names = [
        root + pattern.replace("{}", target)
        for root in ("", "shared://", "user://", "cards://")
        for pattern in WAYS_OUT
        for target in ("outside.txt", "none", "card.json", "elsewhere/secret.txt", "card.png")
    ]
    names += ["", *NO_FILE]
    assert dict(zip(names, tree.read(*names), strict=True)) == dict.fromkeys(names, REFUSED)


def test_names_are_split_by_the_same_rules(tree: Tree) -> None:
    assert split_name("shared://deep/er/book.json") == ("shared", ("deep", "er", "book.json"))
    assert split_name("caf\u00e9/100%.png") == ("", ("caf\u00e9", "100%.png"))
    assert split_name("nobody://a") == ("nobody", ("a",))  # whether there is one, a store knows
    unknown = ("nobody://", "SHARED://", "shared:///")
    patterns = [pattern for pattern in WAYS_OUT if not pattern.startswith(unknown)]
    names = ["shared://" + pattern.replace("{}", "card.png") for pattern in patterns]
    for name in [*names, "/a", "./a", "", "shared://", "://a", 7, None, "a" * 1025]:
        with pytest.raises(ResourceError) as caught:
            split_name(name)
        assert caught.value.reason == REFUSED
        assert caught.value.__cause__ is None


def test_the_host_may_know_where_roots_are(tree: Tree) -> None:
    assert tree.store.for_user("bob").folders == {
        "cards": tree.path / "cards",
        "shared": tree.path / "data/resources/shared",
        "system": tree.path / "data/resources/system",
        "user": tree.path / "data/resources/users/bob",
    }
    assert ResourceStore(None).folders == {}


def test_files_can_be_opened_where_blocking_is_fine(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tree.store.open("cards://face.png") as file:
        assert (file.read(4), file.seek(2), file.read()) == (b"0123", 2, b"23456789")
    for name, reason in (("cards://none", "not found below cards://"), ("../flow/x", REFUSED)):
        with pytest.raises(ResourceError) as caught:
            tree.store.open(name)
        assert caught.value.reason == reason
    # A file that became something else once it was open; a leak of it would be a warning.
    monkeypatch.setattr(os, "fstat", lambda descriptor: os.stat("/dev/null"))
    with pytest.raises(ResourceError) as caught:
        tree.store.open("cards://face.png")
    assert caught.value.reason == REFUSED


def test_a_disk_that_fails_midway_is_told(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: object, limit: int) -> bytes:
        raise OSError(5, "I/O error", "/machine")

    monkeypatch.setattr(module, "_load", fail)
    assert tree.read("card.json") == ["cannot be read: i/o error"]


def test_absolute_paths_beside_an_allowed_folder_are_refused(tree: Tree) -> None:
    names = """allowed-not/book.json allowed-not/none allowed allowed/ allowed/../outside.txt none
        allowed/../none outside.txt flow/card.json data/resources/shared/card.png""".split()
    assert tree.read(*(f"{tree.path}/{name}" for name in names)) == [REFUSED] * len(names)


async def test_errors_name_the_resource_in_short(tmp_path: Path) -> None:
    store = ResourceStore(None, roots={"cards": tmp_path})
    with pytest.raises(ResourceError, match=r"^resource 'cards://none': not found below cards://$"):
        await store.read("cards://none")
    with pytest.raises(ResourceError) as caught:
        await store.read("a" * 1_000_000)
    assert len(str(caught.value)) < 400
    with pytest.raises(ResourceError, match=r"^resource '<int>': refused"):
        await store.read(7)  # type: ignore[arg-type]  # a workflow may say so


def test_links_that_lead_out_are_refused_alike(tree: Tree) -> None:
    links = {"folder": "../elsewhere", "chain": "folder", "back": "../cards/../elsewhere"}
    links |= {"absolute": f"{tree.path}/elsewhere"}
    inside = [f"{a}/{b}" for a in links for b in ("secret.txt", "none", "secret.txt/none")]
    links |= {"file": "../outside.txt", "gone": "../none", "system": "/etc/passwd"}
    links |= {"device": "/dev/zero", "itself": "itself", "here": "."}
    for link, target in links.items():
        (tree.path / "cards" / link).symlink_to(target)
    names = [f"cards://{name}" for name in [*links, *inside]]
    assert dict(zip(names, tree.read(*names), strict=True)) == dict.fromkeys(names, REFUSED)


def test_links_that_stay_below_permitted_roots_are_followed(tree: Tree) -> None:
    (tree.path / "cards/again.png").symlink_to("face.png")
    (tree.path / "cards/books").symlink_to(tree.path / "allowed")
    (tree.path / "cards/gone.png").symlink_to("none.png")
    answers = tree.read("cards://again.png", "cards://books/book.json", "cards://gone.png")
    assert answers == [b"0123456789", b"allowed book", "not found below cards://"]
    (tree.path / "linked").symlink_to(tree.path / "data")
    linked = ResourceStore(tree.path / "linked", roots={"all": Path("/")})
    answers = tree.read("shared://card.png", f"all:/{tree.path / 'outside.txt'}", store=linked)
    assert answers == [b"shared card", OUTSIDE]


@pytest.mark.parametrize("walks", [True, False])
@pytest.mark.parametrize("replaced", ["cards/sub", "cards/sub/secret.txt"])
def test_a_link_planted_after_the_check_leads_nowhere(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, replaced: str, walks: bool
) -> None:
    victim, place = tree.path / "cards/sub/secret.txt", tree.path / replaced
    victim.parent.mkdir()
    victim.write_bytes(b"card")
    looking_up = os.path.realpath

    def plant(path: str) -> str:
        found = looking_up(path)
        if path == str(victim) and not place.is_symlink():
            place.rename(tree.path / "moved")
            place.symlink_to(tree.path / replaced.replace("cards/sub", "elsewhere"))
        return found

    monkeypatch.setattr(module, "_WALKS", walks)
    monkeypatch.setattr(os.path, "realpath", plant)
    assert tree.read("cards://sub/secret.txt")[0] in (REFUSED, "not found below cards://")
    assert place.is_symlink()


def test_systems_without_walking_read_the_same(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WALKS", False)
    answers = tree.read("card.json", "shared://deep", "shared://none", "../outside.txt")
    assert answers == [b"beside the workflow", REFUSED, "not found below shared://", REFUSED]


def test_only_regular_files_are_read(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo = tree.path / "cards/fifo"
    os.mkfifo(fifo)
    for path in (fifo, fifo.parent, Path("/dev/zero")):
        named = tree.store.with_admitted([path])
        assert tree.read("cards://fifo", str(path), store=named) == [REFUSED] * 2
    # As if it had been put there after the look: opening it holds nobody up.
    monkeypatch.setattr(module, "_require_regular", lambda status: None)
    assert tree.read("cards://fifo") == [b""]


def test_errors_of_the_system_show_no_paths(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(error: OSError) -> Answers:
        def fail(target: object) -> int:
            raise error

        monkeypatch.setattr(module, "_open", fail)
        return tree.read("card.json")

    assert answer(PermissionError(13, "Denied", "/machine")) == ["the host may not read it"]
    assert answer(OSError(5, "I/O error", "/machine")) == ["cannot be read: i/o error"]
    assert answer(OSError(36, "File name too long", "/machine")) == [REFUSED]


def test_sizes_are_checked_all_along(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def emptied(descriptor: int) -> os.stat_result:
        status = os.stat(descriptor)
        return os.stat_result((*status[:6], 0, *status[7:10]))

    for telling in (os.fstat, emptied):  # the second time, the file grows
        monkeypatch.setattr(os, "fstat", telling)
        monkeypatch.setattr(module, "_CHUNK", 4)
        assert tree.read("cards://face.png", limit=10) == [b"0123456789"]
        assert tree.read("cards://face.png", limit=9) == ["is larger than the limit of 9 bytes"]
    monkeypatch.undo()
    with (tree.path / "cards/huge").open("wb") as file:
        file.truncate(DEFAULT_RESOURCE_LIMIT + 1)  # sparse: it takes no room
    monkeypatch.setattr(module, "_CHUNK", None)  # reading would fail
    reason = f"is larger than the limit of {DEFAULT_RESOURCE_LIMIT} bytes"
    assert tree.read("cards://huge", limit=DEFAULT_RESOURCE_LIMIT) == [reason]


def test_each_user_has_a_folder_of_their_own(tree: Tree) -> None:
    bob = tree.store.for_user("bob")
    assert tree.read("user://mine.txt", store=bob) == [b"of bob"]
    assert tree.read("user://mine.txt", store=bob.for_user(None)) == [b"of nobody"]
    odd = ["../users/bob", "..", ".", "Bob", "bob ", "bob.", "bob/", "./bob", "CON", "a\0b"]
    for user_id in [*odd, "b" * 300, "\u202ebob", "\ud800", str(tree.path), "eve@example.org"]:
        answers = tree.read("user://mine.txt", store=bob.for_user(user_id))
        assert answers == ["not found below user://"]
    assert re.fullmatch(r"bob-=[0-9a-f]{32}", Path(bob.for_user("bob ")._roots["user"]).name)


def test_admitted_files_are_read_by_path(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.path / "flow")
    odd, link = tree.path / "elsewhere/.CON:odd.", tree.path / "link"
    outside, none = str(tree.path / "outside.txt"), str(tree.path / "none")
    odd.write_bytes(b"admitted")
    link.symlink_to("outside.txt")
    named = tree.store.with_admitted(["../outside.txt", odd, none]).with_admitted([link])
    answers = tree.read(outside, str(odd), str(link), none, store=named)
    assert answers == [OUTSIDE, b"admitted", OUTSIDE, "not found"]
    others = ["../outside.txt", f"{tree.path}/flow/../outside.txt", f"{outside}.bak"]
    others += [f"{outside}/", f"{tree.path}/elsewhere/secret.txt"]
    assert tree.read(*others, store=named) == [REFUSED] * 5
    assert tree.read(outside) == [REFUSED]


@pytest.mark.parametrize("name", ["user", "shared", "system", "", "a/b", "a:", "-a", "a b"])
def test_a_root_needs_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="a resource root cannot be named"):
        ResourceStore(None, roots={name: tmp_path})


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(tmp_path_factory.mktemp("fuzz"), "asyncio")
    for folder, content in ((tree.path / "flow", b"inside"), (tree.path, OUTSIDE)):
        for name in ("a", "b/a", "outside"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    (tree.path / "flow/l").symlink_to("..")
    (tree.path / "flow/m").symlink_to("b")
    (tree.path / "cards").symlink_to("flow")
    return tree


PIECES = "a b l m outside .. . / \\ : %2e %2f % \uff0e \uff0f \u2025 \0 cards:// C: con \ud800"
NAMES = st.text() | st.lists(st.sampled_from([*PIECES.split(), " "]), max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=20))
def test_no_name_reads_outside_or_raises_anything_else(fuzzed: Tree, names: list[str]) -> None:
    answers = fuzzed.read(*names)
    assert all(answer == b"inside" or isinstance(answer, str) for answer in answers)
