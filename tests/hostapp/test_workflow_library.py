"""The library of workflows: what it keeps, what it refuses, and that nothing is ever lost."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from comfytavern.errors import HostError, WorkflowError
from comfytavern_hostapp.library.workflow_files import WorkflowFolders
from comfytavern_hostapp.library.workflows import (
    LibraryWriteError,
    UnknownWorkflowError,
    WorkflowConflictError,
    WorkflowExistsError,
    WorkflowLibrary,
    WorkflowNameError,
)

from .ways_out import WAYS_OUT

Document = dict[str, object]


def named(name: str, **more: object) -> Document:
    """Return a workflow that can be told from others."""
    return {"name": name, "nodes": [], "edges": [], **more}


class Clock:
    """Names versions after moments a second apart."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "workflows"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def library(folder: Path, clock: Clock) -> WorkflowLibrary:
    return WorkflowLibrary(folder, now=clock)


def files(folder: Path) -> dict[str, bytes]:
    """Return all there is below a folder, hidden files included."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def names(library: WorkflowLibrary, workflow_id: str) -> list[object]:
    """Return the name in each version, the newest first."""
    versions = library.versions(workflow_id)
    return [library.read(workflow_id, entry.version).document["name"] for entry in versions]


def test_a_document_is_kept_as_it_came(library: WorkflowLibrary, folder: Path) -> None:
    document = named("Café", zebra=1, x={"b": 1, "a": [None, 1.5, "\ud800"]}, viewport={})
    saved = library.save("chat/tavern", document)
    assert saved.document == document
    stored = library.read("chat/tavern")
    assert stored == saved
    assert list(stored.document) == ["name", "nodes", "edges", "zebra", "x", "viewport"]
    text = (folder / "chat/tavern.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "name": "Café",\n  "nodes": [],\n')
    assert text.endswith("}\n")
    assert os.listdir(folder) == ["chat"]  # neither a version nor a leftover


def test_each_content_has_an_etag_of_its_own(library: WorkflowLibrary) -> None:
    one = library.save("a", named("one"))
    two = library.save("a", named("two"))
    assert one.etag[0] == one.etag[-1] == '"'
    assert len({one.etag, two.etag, library.save("b", named("three")).etag}) == 3
    assert library.save("c", named("one")).etag == one.etag
    assert two.modified >= one.modified


def test_what_is_replaced_becomes_a_version(library: WorkflowLibrary, folder: Path) -> None:
    first = library.save("a", named("one"))
    library.save("a", named("two"))
    library.save("a", named("three"))
    assert names(library, "a") == ["two", "one"]
    newest, oldest = library.versions("a")
    assert oldest.version == "20260102T030406.000678Z"
    assert newest.version == "20260102T030407.000678Z"
    assert (oldest.etag, oldest.modified) == (first.etag, first.modified)
    assert oldest.size == len((folder / f".versions/a/{oldest.version}.json").read_bytes())
    old = library.read("a", oldest.version)
    assert (old.version, old.document, old.etag) == (oldest.version, named("one"), first.etag)


def test_the_same_content_again_makes_no_version(library: WorkflowLibrary, folder: Path) -> None:
    saved = library.save("a", named("one"))
    assert library.save("a", named("one"), if_match=saved.etag) == saved
    # Laid out otherwise by somebody's editor; the order of keys counts, the spaces do not.
    (folder / "a.json").write_text(json.dumps(named("one")))
    library.save("a", named("one"))
    assert library.versions("a") == []
    assert (folder / "a.json").read_text() == json.dumps(named("one"))
    library.save("a", {"edges": [], "nodes": [], "name": "one"})
    assert names(library, "a") == ["one"]


def test_the_oldest_versions_go(folder: Path, clock: Clock) -> None:
    library = WorkflowLibrary(folder, keep_versions=2, now=clock)
    for name in "abcde":
        library.save("a", named(name))
    assert names(library, "a") == ["d", "c"]
    forgetful = WorkflowLibrary(folder / "other", keep_versions=0, now=clock)
    forgetful.save("a", named("one"))
    forgetful.save("a", named("two"))
    assert forgetful.versions("a") == []
    forgetful.delete("a")
    with pytest.raises(UnknownWorkflowError, match=r"^no workflow has the id 'a'$"):
        forgetful.versions("a")


def test_versions_are_in_order_whatever_the_clock_says(folder: Path) -> None:
    moments = [datetime(2026, 5, 5, tzinfo=UTC)] * 2 + [datetime(2020, 1, 1, tzinfo=UTC)]
    clock = iter(moments)
    library = WorkflowLibrary(folder, now=lambda: next(clock))
    for name in ("one", "two", "three", "four"):
        library.save("a", named(name))
    assert names(library, "a") == ["three", "two", "one"]
    assert [entry.version for entry in library.versions("a")] == [
        f"20260505T000000.00000{count}Z" for count in (2, 1, 0)
    ]


def test_a_deleted_workflow_can_come_back(library: WorkflowLibrary, folder: Path) -> None:
    library.save("chat/tavern", named("one"))
    saved = library.save("chat/tavern", named("two"))
    library.delete("chat/tavern", if_match=saved.etag)
    assert library.list() == []
    assert not (folder / "chat").exists()
    with pytest.raises(
        UnknownWorkflowError,
        match=r"^workflow 'chat/tavern' was deleted; 2 of its versions can come back$",
    ):
        library.read("chat/tavern")
    assert names(library, "chat/tavern") == ["two", "one"]
    last = library.versions("chat/tavern")[0]
    back = library.restore("chat/tavern", last.version)
    assert (back.document, back.etag, back.version) == (named("two"), saved.etag, None)
    assert library.read("chat/tavern") == back
    assert names(library, "chat/tavern") == ["two", "one"]


def test_restoring_keeps_what_was_there(library: WorkflowLibrary) -> None:
    library.save("a", named("one"))
    two = library.save("a", named("two"))
    first = library.versions("a")[0].version
    with pytest.raises(WorkflowConflictError):
        library.restore("a", first, if_match='"old"')
    assert library.restore("a", first, if_match=two.etag).document == named("one")
    assert names(library, "a") == ["two", "one"]
    library.restore("a", first)  # it is there already
    assert names(library, "a") == ["two", "one"]


@pytest.mark.parametrize(
    "version", ["", "latest", "../../a", "20260102T030406.000678", "20260102T030406.999999Z", "\0"]
)
def test_an_unknown_version_says_so(library: WorkflowLibrary, version: str) -> None:
    library.save("a", named("one"))
    library.save("a", named("two"))
    for ask in (library.read, library.restore):
        with pytest.raises(UnknownWorkflowError) as caught:
            ask("a", version)
        assert str(caught.value) == f"workflow 'a' has no version {version!r}"


def test_changes_of_what_nobody_has_seen_are_refused(library: WorkflowLibrary) -> None:
    one = library.save("a", named("one"))
    two = library.save("a", named("two"), if_match=one.etag)
    attempts: list[Callable[[], object]] = [
        lambda: library.save("a", named("three"), if_match=one.etag),
        lambda: library.delete("a", if_match=one.etag),
        lambda: library.rename("a", "b", if_match=one.etag),
    ]
    for attempt in attempts:
        with pytest.raises(WorkflowConflictError) as caught:
            attempt()
        assert str(caught.value) == "workflow 'a' has changed meanwhile; read it again first"
        assert (caught.value.code, caught.value.etag) == ("workflow_changed", two.etag)
    with pytest.raises(WorkflowConflictError) as caught:
        library.save("b", named("one"), if_match="*")
    assert str(caught.value) == "workflow 'b' was deleted meanwhile; read it again first"
    library.save("a", named("three"), if_match="*")
    assert library.read("a").document == named("three")


def test_creating_alone_never_replaces(library: WorkflowLibrary) -> None:
    library.save("a", named("one"), create_only=True)
    with pytest.raises(WorkflowExistsError) as caught:
        library.save("a", named("two"), create_only=True)
    assert str(caught.value) == "a workflow has the id 'a' already; choose another"
    assert caught.value.code == "workflow_exists"
    assert library.read("a").document == named("one")


@pytest.mark.parametrize(
    ("workflow_id", "existing"),
    [
        ("chat/tavern", "chat/Tavern"),
        ("CHAT/other", "chat"),
        ("chat/caf\u00e9", "chat/cafe\u0301"),
        ("chat/STRASSE", "chat/stra\u00dfe"),
    ],
)
def test_names_differ_in_more_than_case(
    library: WorkflowLibrary, workflow_id: str, existing: str
) -> None:
    for known in ("chat/Tavern", "chat/cafe\u0301", "chat/stra\u00dfe", "z"):
        library.save(known, named(known))
    attempts: list[Callable[[], object]] = [
        lambda: library.save(workflow_id, named("new")),
        lambda: library.rename("z", workflow_id),
    ]
    for attempt in attempts:
        with pytest.raises(WorkflowExistsError) as caught:
            attempt()
        assert str(caught.value) == (
            f"workflow {workflow_id!r} cannot be kept beside {existing!r}; choose another id"
        )
    assert library.read("z").document == named("z")


def test_a_workflow_gets_another_id_with_its_versions(
    library: WorkflowLibrary, folder: Path
) -> None:
    for name in ("one", "two"):
        library.save("chat/a", named(name))
        library.save("chat/a/b", named(f"inner {name}"))
    library.save("new/b", named("deleted"))
    library.delete("new/b")
    library.rename("chat/a", "new/b")
    assert library.read("new/b").document == named("two")
    assert sorted(map(str, names(library, "new/b"))) == ["deleted", "one"]
    with pytest.raises(UnknownWorkflowError, match=r"^no workflow has the id 'chat/a'; did you"):
        library.versions("chat/a")
    assert names(library, "chat/a/b") == ["inner one"]
    library.rename("new/b", "new/B")
    assert [entry.id for entry in library.list()] == ["chat/a/b", "new/B"]
    library.rename("chat/a/b", "c")
    assert sorted(os.listdir(folder)) == [".versions", "c.json", "new"]


def test_a_new_id_is_never_one_that_is_taken(library: WorkflowLibrary) -> None:
    library.save("a", named("one"))
    library.save("b", named("two"))
    for target in ("a", "b"):
        with pytest.raises(WorkflowExistsError) as caught:
            library.rename("a", target)
        assert str(caught.value) == f"a workflow has the id {target!r} already; choose another"
    with pytest.raises(UnknownWorkflowError):
        library.rename("none", "c")
    assert library.read("b").document == named("two")


def test_versions_of_one_moment_stand_side_by_side(folder: Path) -> None:
    library = WorkflowLibrary(folder, now=lambda: datetime(2026, 5, 5, tzinfo=UTC))
    library.save("b", named("deleted"))
    library.delete("b")
    library.save("a", named("one"))
    library.save("a", named("two"))
    library.rename("a", "b")
    assert names(library, "b") == ["one", "deleted"]


def test_an_unknown_id_offers_the_nearest(library: WorkflowLibrary) -> None:
    library.save("chat/tavern", named("one"))
    for ask in (library.read, library.delete, library.versions):
        with pytest.raises(UnknownWorkflowError) as caught:
            ask("chat/tavrn")
        assert str(caught.value) == (
            "no workflow has the id 'chat/tavrn'; did you mean 'chat/tavern'?"
        )
        assert (caught.value.code, isinstance(caught.value, HostError)) == (
            "unknown_workflow",
            True,
        )


def test_the_list_shows_good_and_bad_files(library: WorkflowLibrary, folder: Path) -> None:
    assert library.list() == []
    library.save("b/good", named("Good one", description="what it does"))
    library.save("b/good", named("Better one", description=7))
    bad = {
        "a.json": (b"{", "workflow 'a' is not JSON: "),
        "c.json": (b"[]", "workflow 'c' is not a workflow: expected an object with a list of"),
        "d.json": (b"\xff", "workflow 'd' is not UTF-8 text"),
        "e.json": (b'{"nodes": [{}]}', "workflow 'e': nodes.0.id: field required (and 1 more"),
        "f.json": (b"", "workflow 'f' is not JSON: "),
    }
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    (folder / "g.json").write_bytes(b'\xef\xbb\xbf{"nodes": [], "name": "\\ud800", "x": NaN}')
    for name in (".hidden.json", "notes.txt", "h.JSON", "con.json", "a:b.json", "i.json.json"):
        (folder / name).write_bytes(b"{}")
    (folder / os.fsdecode(b"\xff.json")).write_bytes(b"{}")
    (folder / ".git").mkdir()
    (folder / ".git/x.json").write_bytes(b"{}")
    (folder / "folder.json").mkdir()
    entries = library.list()
    assert [entry.id for entry in entries] == ["a", "b/good", "c", "d", "e", "f", "g"]
    problems = {f"{entry.id}.json": entry.problem for entry in entries}
    for name, (_, start) in bad.items():
        assert (problems[name] or "").startswith(start)
        assert "\n" not in (problems[name] or "")
    good, odd = entries[1], entries[-1]
    assert (good.name, good.description, good.versions) == ("Better one", None, 1)
    assert (good.problem, good.etag) == (None, library.read("b/good").etag)
    assert (good.size, good.modified) == (
        (folder / "b/good.json").stat().st_size,
        library.read("b/good").modified,
    )
    assert (odd.name, odd.problem) == ("?", None)
    assert (entries[0].name, entries[0].versions) == ("a", 0)
    assert all((folder / name).read_bytes() == content for name, (content, _) in bad.items())
    assert library.list() == entries
    (folder / "a.json").write_text(json.dumps(named("mended", description="now")))
    assert library.list()[0].name == "mended"
    assert library.list()[0].description == "now"


def test_a_broken_file_is_a_finding_and_can_be_replaced(
    library: WorkflowLibrary, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "a.json").write_bytes(b"\xff")
    for ask in (library.read, library.resolve):
        with pytest.raises(WorkflowError) as caught:
            ask("a")
        [finding] = caught.value.findings
        assert (finding.code, finding.message) == ("bad_file", "workflow 'a' is not UTF-8 text")
    library.save("a", named("one"))
    broken = library.versions("a")[0]
    assert broken.size == 1
    with pytest.raises(WorkflowError, match="is not UTF-8 text"):
        library.restore("a", broken.version)
    assert library.read("a").document == named("one")
    (folder / "a.json").write_bytes(b"{")
    library.delete("a")
    assert len(library.versions("a")) == 2


def test_what_cannot_be_read_hides_nothing(
    library: WorkflowLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.save("a", named("one"))
    library.save("a", named("two"))
    library.save("b", named("three"))
    monkeypatch.setattr("comfytavern_hostapp.library.documents.MAX_FILE_BYTES", 1)
    shown = [(entry.problem, entry.etag, entry.versions) for entry in library.list()]
    too_large = "workflow {!r} is larger than 0 MiB"
    assert shown == [(too_large.format("a"), None, 1), (too_large.format("b"), None, 0)]
    with pytest.raises(WorkflowError, match=r"^workflow 'a' is larger than 0 MiB$"):
        library.read("a")
    with pytest.raises(WorkflowError, match=r"^workflow 'c' is larger than 0 MiB$"):
        library.save("c", named("four"))
    assert library.versions("a") == []
    monkeypatch.undo()

    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/machine")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(WorkflowError) as caught:
        library.read("a")
    assert str(caught.value) == "workflow 'a' cannot be read: permission denied"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "workflow 'a' is not a workflow: expected an object with a list of 'nodes'"),
        ([], "workflow 'a' is not a workflow: expected an object with a list of 'nodes'"),
        (
            named("x", y=float("nan")),
            "workflow 'a' cannot be written as JSON: out of range float values",
        ),
        (
            named("x", y=b""),
            "workflow 'a' cannot be written as JSON: object of type bytes is not json serializable",
        ),
    ],
)
def test_what_is_no_workflow_is_not_stored(
    library: WorkflowLibrary, folder: Path, document: Document, message: str
) -> None:
    with pytest.raises(WorkflowError) as caught:
        library.save("a", document)
    assert caught.value.findings[0].message.startswith(message)
    assert not folder.exists()


def test_resolving_agrees_with_folders(library: WorkflowLibrary, folder: Path) -> None:
    library.save("chat/tavern", named("one"))
    (folder / "broken.json").write_bytes(b"{")
    (folder / "link.json").symlink_to("chat/tavern.json")
    (folder / "out.json").symlink_to("/etc/passwd")
    folders = WorkflowFolders([folder])
    ids = ["chat/tavern", "chat/tavern.json", "link", "none", "out", "../workflows/link", "con"]
    for workflow_id in [*ids, ".versions/x", "", "chat", "shared://x"]:
        found, document = folders(workflow_id), library.resolve(workflow_id)
        assert (found is None) == (document is None), workflow_id
        assert found is None or document == named("one")
    for resolver in (folders, library.resolve):
        with pytest.raises(WorkflowError, match="is not JSON"):
            resolver("broken")


EXPECTED = (
    "expected a path such as 'chat/tavern', with no '.json', no '..', no backslash, no colon, no"
    " hidden part and no link on the way"
)


def attempts(library: WorkflowLibrary, workflow_id: str) -> Iterator[Callable[[], object]]:
    """Return everything that can be done with an id."""
    yield lambda: library.read(workflow_id)
    yield lambda: library.read(workflow_id, "20260102T030406.000678Z")
    yield lambda: library.save(workflow_id, named("bad"))
    yield lambda: library.save(workflow_id, named("bad"), if_match="*")
    yield lambda: library.delete(workflow_id)
    yield lambda: library.rename(workflow_id, "free")
    yield lambda: library.rename("known", workflow_id)
    yield lambda: library.versions(workflow_id)
    yield lambda: library.restore(workflow_id, "20260102T030406.000678Z")


def refusals(library: WorkflowLibrary, workflow_id: str) -> set[str]:
    """Return what every attempt with an id is answered, the id itself left out."""
    texts = set()
    for attempt in attempts(library, workflow_id):
        with pytest.raises(WorkflowNameError) as caught:
            attempt()
        assert caught.value.code == "bad_workflow_name"
        assert len(str(caught.value)) < 1600
        texts.add(str(caught.value).partition("; ")[2])
    assert library.resolve(workflow_id) is None
    return texts


@pytest.mark.parametrize("pattern", WAYS_OUT)
def test_ways_out_are_refused_whether_or_not_something_is_there(
    library: WorkflowLibrary, folder: Path, tmp_path: Path, pattern: str
) -> None:
    library.save("known", named("known"))
    library.save("deep/known", named("known"))
    for place in (tmp_path, tmp_path / "data"):
        (place / "outside.json").write_text(json.dumps(named("outside")))
    before = files(tmp_path)
    for target in ("outside", "none", "known"):
        assert refusals(library, pattern.replace("{}", target)) == {EXPECTED}
    assert files(tmp_path) == before


@pytest.mark.parametrize("workflow_id", ["", ".", "..", "/", "a.json", "a.JSON", "a" * 251])
def test_other_ids_are_refused_as_well(library: WorkflowLibrary, workflow_id: str) -> None:
    library.save("known", named("known"))
    assert refusals(library, workflow_id) == {EXPECTED}
    for odd in (7, None, b"a"):
        with pytest.raises(WorkflowNameError, match=r"^a workflow cannot have the id '<[a-zA-Z]+>"):
            library.read(odd)  # type: ignore[arg-type]  # a body may say so


def test_links_that_lead_out_are_refused_alike(
    library: WorkflowLibrary, folder: Path, tmp_path: Path
) -> None:
    library.save("known", named("known"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "there.json").write_text(json.dumps(named("outside")))
    (folder / "folder").symlink_to(outside)
    (folder / "file.json").symlink_to(outside / "there.json")
    (folder / "gone.json").symlink_to(outside / "none.json")
    (folder / "relative.json").symlink_to("../../outside/there.json")
    before = files(tmp_path)
    for workflow_id in ("folder/there", "folder/none", "file", "gone", "relative"):
        for attempt in attempts(library, workflow_id):
            with pytest.raises((WorkflowNameError, UnknownWorkflowError)) as caught:
                attempt()
            if isinstance(caught.value, WorkflowNameError):
                assert str(caught.value).partition("; ")[2] == EXPECTED
            else:  # versions never lie there
                assert isinstance(caught.value, UnknownWorkflowError)
                assert caught.value.version
        assert library.resolve(workflow_id) is None
    assert [entry.id for entry in library.list()] == ["known"]
    assert files(tmp_path) == before


def test_links_within_are_read_and_never_written(library: WorkflowLibrary, folder: Path) -> None:
    library.save("deep/known", named("known"))
    (folder / "link.json").symlink_to("deep/known.json")
    (folder / "also").symlink_to("deep")
    (folder / "itself.json").symlink_to("itself.json")
    assert library.read("link").document == named("known")
    assert library.read("also/known").document == named("known")
    assert [entry.id for entry in library.list()] == ["deep/known", "link"]
    for workflow_id in ("link", "also/known", "itself"):
        for change in (
            lambda: library.save(workflow_id, named("new")),  # noqa: B023  # called at once
            lambda: library.delete(workflow_id),  # noqa: B023  # called at once
            lambda: library.rename("deep/known", workflow_id),  # noqa: B023  # called at once
        ):
            with pytest.raises(WorkflowNameError):
                change()
    assert library.read("deep/known").document == named("known")


def test_what_resolves_elsewhere_is_a_link_whatever_it_is(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.save("deep/known", named("known"))
    (folder / "also").symlink_to("deep")
    monkeypatch.setattr(os.path, "islink", lambda path: False)  # as of a junction
    with pytest.raises(WorkflowNameError):
        library.save("also/known", named("new"))
    assert library.read("deep/known").document == named("known")


def test_versions_are_kept_behind_no_link(
    library: WorkflowLibrary, folder: Path, tmp_path: Path
) -> None:
    library.save("a", named("one"))
    (tmp_path / "elsewhere").mkdir()
    (folder / ".versions").symlink_to(tmp_path / "elsewhere")
    for change in (lambda: library.save("a", named("two")), lambda: library.delete("a")):
        with pytest.raises(WorkflowNameError):
            change()
    assert os.listdir(tmp_path / "elsewhere") == []
    assert [(entry.id, entry.versions) for entry in library.list()] == [("a", 0)]
    assert sorted(os.listdir(folder)) == [".versions", "a.json"]


FULL = OSError(errno.ENOSPC, "No space left on device", "/machine/path")


class Failing:
    """A system call that begins to fail after some calls."""

    def __init__(self, works: int, call: Callable[..., object], error: OSError) -> None:
        self.works = works
        self.call = call
        self.error = error

    def __call__(self, *arguments: object, **options: object) -> object:
        self.works -= 1
        if self.works < 0:
            raise self.error
        return self.call(*arguments, **options)


@pytest.mark.parametrize(
    ("call", "works"),
    [("fsync", 0), ("fsync", 1), ("replace", 0), ("replace", 1), ("write", 0), ("write", 1)],
)
def test_a_full_disk_leaves_everything_as_it_was(
    library: WorkflowLibrary,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    works: int,
) -> None:
    library.save("a", named("one"))
    library.save("a", named("two"))
    before = files(folder)
    monkeypatch.setattr(os, call, Failing(works, getattr(os, call), FULL))
    with pytest.raises(LibraryWriteError) as caught:
        library.save("a", named("three"))
    assert caught.value.code == "not_written"
    assert caught.value.__cause__ is None
    assert str(caught.value) == (
        "workflow 'a' was not written: no space left on device; what was there is unchanged"
    )
    monkeypatch.undo()
    assert files(folder) == before
    assert library.read("a").document == named("two")
    library.save("a", named("three"))


def test_a_new_workflow_on_a_full_disk_leaves_nothing(
    library: WorkflowLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", Failing(0, os.fsync, FULL))
    with pytest.raises(LibraryWriteError):
        library.save("new/a", named("one"))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_may_not_be_written_says_so(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.save("a", named("one"))
    library.save("a", named("two"))
    before = files(folder)
    denied = PermissionError(errno.EROFS, "Read-only file system", "/machine/path")
    for call in ("replace", "rename", "mkdir"):
        monkeypatch.setattr(os, call, Failing(0, getattr(os, call), denied))
    with pytest.raises(LibraryWriteError) as caught:
        library.delete("a")
    assert str(caught.value) == (
        "workflow 'a' was not deleted: read-only file system; what was there is unchanged"
    )
    with pytest.raises(LibraryWriteError) as caught:
        library.rename("a", "b")
    assert str(caught.value) == (
        "workflow 'a' was not renamed: read-only file system; what was there is unchanged"
    )
    monkeypatch.undo()
    assert files(folder) == before


@pytest.mark.parametrize("works", [0, 1, 2])
def test_a_rename_that_fails_midway_is_taken_back(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch, works: int
) -> None:
    for name in ("one", "two", "three"):
        library.save("a", named(name))
    before = files(folder)
    rename = os.rename

    def fail_once(source: Path, target: Path) -> None:
        nonlocal works
        works -= 1
        if works == -1:
            raise FULL
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_once)
    with pytest.raises(LibraryWriteError):
        library.rename("a", "new/b")
    assert files(folder) == before
    assert sorted(os.listdir(folder)) == [".versions", "a.json"]


def test_a_folder_in_the_way_is_named(library: WorkflowLibrary, folder: Path) -> None:
    (folder / "a.json").mkdir(parents=True)
    (folder / "file").write_bytes(b"")
    for workflow_id, existing in (("a", "a"), ("file/b", "file")):
        with pytest.raises(WorkflowExistsError) as caught:
            library.save(workflow_id, named("one"))
        assert caught.value.existing == existing


def test_a_rewritten_file_keeps_its_permissions(library: WorkflowLibrary, folder: Path) -> None:
    library.save("a", named("one"))
    (folder / "a.json").chmod(0o640)
    library.save("a", named("two"))
    assert (folder / "a.json").stat().st_mode & 0o777 == 0o640


def test_many_threads_lose_nothing(folder: Path) -> None:
    library = WorkflowLibrary(folder, keep_versions=100)
    library.save("a", named("start"))

    def work(number: int) -> None:
        for step in range(5):
            library.save("a", named(f"{number}.{step}"))
            library.save(f"own/{number}", named(str(step)))
            library.list()

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = {"start", *(f"{number}.{step}" for number in range(4) for step in range(5))}
    assert {*names(library, "a"), library.read("a").document["name"]} == everything
    assert len(library.list()) == 5
    assert not [name for name in files(folder) if name.endswith(".part")]
