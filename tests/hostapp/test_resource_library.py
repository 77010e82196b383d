"""The library of resources: what is listed, taken and shown, and what is never touched."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from comfytavern.errors import ResourceError
from comfytavern.resources import REFUSED, ResourceStore
from comfytavern_hostapp.library.resources import (
    WRITE_REFUSED,
    LibraryWriteError,
    ResourceExistsError,
    ResourceLibrary,
    ResourceTooLargeError,
    serving_headers,
)

from .ways_out import WAYS_OUT

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
OUTSIDE = b"what nobody may read"
FILES = {
    "outside.txt": OUTSIDE,
    "elsewhere/known.txt": OUTSIDE,
    "data/config.yaml": OUTSIDE,
    "data/resources/shared/known.txt": b"known",
    "data/resources/shared/deep/known.txt": b"deep",
    "data/resources/system/preset.json": b"{}",
    "data/resources/users/default/mine.txt": b"of nobody",
    "data/resources/users/bob/mine.txt": b"of bob",
    "cards/face.png": PNG,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def shared(place: Path) -> Path:
    return place / "data/resources/shared"


@pytest.fixture
def library(place: Path) -> ResourceLibrary:
    return ResourceLibrary(ResourceStore(place / "data", roots={"cards": place / "cards"}), 100)


def files(folder: Path) -> dict[str, bytes]:
    """Return all there is below a folder, hidden files included."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def listed(library: ResourceLibrary, root: str | None = None, prefix: str = "") -> list[str]:
    """Return the names in one list."""
    return [entry.name for entry in library.list(root, prefix).entries]


def content(library: ResourceLibrary, name: str) -> bytes:
    """Return what is served under a name."""
    with library.open(name) as resource:
        return resource.file.read()


def test_files_of_all_roots_are_listed_by_name(library: ResourceLibrary, place: Path) -> None:
    page = library.list()
    assert [entry.name for entry in page.entries] == [
        "cards://face.png",
        "shared://deep/known.txt",
        "shared://known.txt",
        "system://preset.json",
        "user://mine.txt",
    ]
    assert page.following is None
    face = page.entries[0]
    assert (face.root, face.path, face.size) == ("cards", "face.png", len(PNG))
    assert (face.media_type, face.modified) == (
        "image/png",
        (place / "cards/face.png").stat().st_mtime,
    )
    assert str(place) not in repr(page)
    assert listed(library, "shared") == ["shared://deep/known.txt", "shared://known.txt"]
    assert listed(library, "shared", "deep") == ["shared://deep/known.txt"]
    assert listed(library, "shared", "deep/") == ["shared://deep/known.txt"]
    assert listed(library, prefix="deep") == ["shared://deep/known.txt"]
    assert listed(library, "shared", "none") == listed(library, "shared", "known.txt") == []
    away = ResourceLibrary(ResourceStore(place / "away"))
    assert away.list().entries == ()


def test_lists_come_in_parts(library: ResourceLibrary) -> None:
    for number in range(7):
        library.save(f"shared://n/{number}.txt", b"")
    found: list[str] = []
    after: str | None = None
    sizes = []
    while True:
        page = library.list("shared", "n", limit=3, after=after)
        found += [entry.path for entry in page.entries]
        sizes.append(len(page.entries))
        after = page.following
        if after is None:
            break
    assert (found, sizes) == ([f"n/{number}.txt" for number in range(7)], [3, 3, 1])
    library.delete("shared://n/2.txt")
    page = library.list("shared", "n", limit=2, after="shared://n/2.txt")  # gone, and yet a mark
    assert [entry.path for entry in page.entries] == ["n/3.txt", "n/4.txt"]


def test_hidden_files_and_ways_out_are_not_listed(
    library: ResourceLibrary, place: Path, shared: Path
) -> None:
    for name in (".env", ".git/config", "deep/.x.part", "a:b.txt", "con.txt", "dot."):
        (shared / name).parent.mkdir(exist_ok=True)
        (shared / name).write_bytes(OUTSIDE)
    (shared / os.fsdecode(b"\xff.png")).write_bytes(OUTSIDE)
    links: dict[str, str | Path] = {
        "file.txt": place / "outside.txt",
        "folder": place / "elsewhere",
        "other.txt": place / "data/resources/system/preset.json",
        "gone.txt": "none.txt",
        "itself.txt": "itself.txt",
        "loop": ".",
        "inside.txt": "deep/known.txt",
    }
    for link, target in links.items():
        (shared / link).symlink_to(target)
    os.mkfifo(shared / "fifo")
    names = ["shared://deep/known.txt", "shared://inside.txt", "shared://known.txt"]
    assert listed(library, "shared") == names
    assert content(library, "shared://inside.txt") == b"deep"


def test_users_see_their_own(library: ResourceLibrary, place: Path) -> None:
    library.save("user://new.txt", b"new", user_id="bob")
    assert (place / "data/resources/users/bob/new.txt").read_bytes() == b"new"
    names = [entry.name for entry in library.list("user", user_id="bob").entries]
    assert names == ["user://mine.txt", "user://new.txt"]
    assert listed(library, "user") == ["user://mine.txt"]
    with library.open("user://mine.txt", "bob") as resource:
        assert resource.file.read() == b"of bob"
    library.delete("user://mine.txt", "bob")
    assert content(library, "user://mine.txt") == b"of nobody"
    library.save("user://x.txt", b"x", user_id="../../shared")
    assert listed(library, "shared") == ["shared://deep/known.txt", "shared://known.txt"]


@pytest.mark.parametrize("form", [bytes, io.BytesIO, lambda data: iter([data[:2], b"", data[2:]])])
def test_uploads_come_in_any_form(
    library: ResourceLibrary, form: Callable[[bytes], bytes], shared: Path
) -> None:
    entry = library.save("shared://new/hesper.png", form(PNG))
    assert (entry.name, entry.size, entry.media_type) == (
        "shared://new/hesper.png",
        len(PNG),
        "image/png",
    )
    assert (shared / "new/hesper.png").read_bytes() == PNG
    assert os.listdir(shared / "new") == ["hesper.png"]
    assert library.list("shared", "new").entries == (entry,)


def test_another_content_needs_a_word(library: ResourceLibrary) -> None:
    entry = library.save("shared://a.txt", b"one")
    assert library.save("shared://a.txt", b"one") == entry
    for other in (b"two", b"longer", b""):
        with pytest.raises(ResourceExistsError) as caught:
            library.save("shared://a.txt", other)
    assert caught.value.code == "resource_exists"
    assert str(caught.value) == (
        "resource 'shared://a.txt' exists with another content; replace it or choose another name"
    )
    assert content(library, "shared://a.txt") == b"one"
    library.save("shared://a.txt", b"two", replace=True)
    assert content(library, "shared://a.txt") == b"two"


@pytest.mark.parametrize(
    ("name", "existing"),
    [
        ("shared://KNOWN.txt", "shared://known.txt"),
        ("shared://Deep/new.txt", "shared://deep"),
        ("shared://known.txt/new.txt", "shared://known.txt"),
        ("shared://deep", "shared://deep"),
    ],
)
def test_what_stands_in_the_way_is_named(
    library: ResourceLibrary, place: Path, name: str, existing: str
) -> None:
    before = files(place)
    for replace in (False, True):
        with pytest.raises(ResourceExistsError) as caught:
            library.save(name, b"new", replace=replace)
        assert caught.value.existing == existing
    assert files(place) == before
    with pytest.raises(ResourceExistsError) as caught:
        library.save("shared://DEEP", b"new")
    assert str(caught.value) == (
        "resource 'shared://DEEP' cannot be kept beside 'shared://deep'; choose another name"
    )


def test_sizes_are_checked_while_writing(library: ResourceLibrary, place: Path) -> None:
    before = files(place)
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 30

    with pytest.raises(ResourceTooLargeError) as caught:
        library.save("shared://new/big.bin", endless())
    assert str(caught.value) == (
        "resource 'shared://new/big.bin': is larger than the limit of 100 bytes"
    )
    assert (caught.value.code, taken) == ("resource_too_large", 4)
    with pytest.raises(ResourceTooLargeError):
        library.save("shared://known.txt", bytes(101), replace=True)
    assert files(place) == before
    assert not (place / "data/resources/shared/new").exists()
    assert library.save("shared://big.bin", bytes(100)).size == 100


def test_an_upload_that_breaks_off_leaves_nothing(library: ResourceLibrary, place: Path) -> None:
    before = files(place)

    def broken() -> Iterator[bytes]:
        yield b"begun"
        raise EOFError("the client went away")

    with pytest.raises(EOFError):
        library.save("shared://known.txt", broken(), replace=True)
    assert files(place) == before


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("name", ["shared://known.txt", "shared://new/a.txt"])
def test_a_full_disk_leaves_everything_as_it_was(
    library: ResourceLibrary, place: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str
) -> None:
    before = files(place)

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/machine/path")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(LibraryWriteError) as caught:
        library.save(name, b"new", replace=True)
    assert (caught.value.code, caught.value.__cause__) == ("not_written", None)
    assert str(caught.value) == (
        f"resource {name!r} was not written: no space left on device; what was there is unchanged"
    )
    monkeypatch.undo()
    assert files(place) == before
    assert not (place / "data/resources/shared/new").exists()


def test_a_folder_that_may_not_be_written_says_so(
    library: ResourceLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/machine/path")

    monkeypatch.setattr(os, "unlink", fail)
    with pytest.raises(LibraryWriteError) as caught:
        library.delete("shared://known.txt")
    assert str(caught.value) == (
        "resource 'shared://known.txt' was not deleted: permission denied; what was there is"
        " unchanged"
    )
    assert content(library, "shared://known.txt") == b"known"


def test_deleting_removes_one_upload(library: ResourceLibrary) -> None:
    library.delete("shared://deep/known.txt")
    for name in ("shared://deep/known.txt", "shared://none", "shared://deep", "shared://a/b"):
        with pytest.raises(ResourceError) as caught:
            library.delete(name)
        assert str(caught.value) == f"resource {name!r}: not found below shared://"
    assert listed(library, "shared") == ["shared://known.txt"]


def test_missing_files_say_so_as_for_nodes(library: ResourceLibrary) -> None:
    for ask in (library.open, library.media_type):
        with pytest.raises(ResourceError) as caught:
            ask("shared://none.png")
        assert str(caught.value) == "resource 'shared://none.png': not found below shared://"


def refusals(library: ResourceLibrary, name: str) -> list[str]:
    """Return the reasons why a name can be neither read, written nor deleted."""
    attempts: list[Callable[[], object]] = [
        lambda: library.open(name),
        lambda: library.media_type(name),
        lambda: library.save(name, b"bad"),
        lambda: library.save(name, b"bad", replace=True),
        lambda: library.delete(name),
    ]
    reasons = []
    for attempt in attempts:
        with pytest.raises(ResourceError) as caught:
            attempt()
        assert len(str(caught.value)) < 1500
        assert caught.value.__cause__ is None
        reasons.append(caught.value.reason)
    return reasons


@pytest.mark.parametrize("pattern", WAYS_OUT)
def test_ways_out_are_refused_whether_or_not_something_is_there(
    library: ResourceLibrary, place: Path, pattern: str
) -> None:
    before = files(place)
    for root in ("shared://", "user://", "cards://", ""):
        for target in ("outside.txt", "none", "known.txt", "config.yaml"):
            path = pattern.replace("{}", target)
            assert refusals(library, root + path) == [REFUSED] * 2 + [WRITE_REFUSED] * 3
            if pattern != "{}/":  # which names a folder well enough
                with pytest.raises(ResourceError) as caught:
                    library.list(root.removesuffix("://") or None, path)
                assert (caught.value.reason, len(caught.value.name) <= 200) == (REFUSED, True)
    assert files(place) == before


@pytest.mark.parametrize(
    "name",
    [
        *("known.txt", "./known.txt", "/etc/passwd", "shared:known.txt", "", "://known.txt"),
        *("nobody://known.txt", "SHARED://known.txt", "shared://", "shared://.env", "shared:///"),
    ],
)
def test_names_need_a_root(library: ResourceLibrary, place: Path, name: str) -> None:
    before = files(place)
    assert refusals(library, name) == [REFUSED] * 2 + [WRITE_REFUSED] * 3
    assert refusals(library, str(place / "outside.txt")) == [REFUSED] * 2 + [WRITE_REFUSED] * 3
    assert files(place) == before


@pytest.mark.parametrize("root", ["", "nobody", "shared://", "..", "/etc", "x" * 100_000])
def test_only_roots_are_listed(library: ResourceLibrary, root: str) -> None:
    with pytest.raises(ResourceError) as caught:
        library.list(root)
    assert (caught.value.reason, len(caught.value.name) <= 200) == (REFUSED, True)


@pytest.mark.parametrize("name", ["system://preset.json", "system://new.json", "cards://face.png"])
def test_what_is_the_operators_is_never_written(
    library: ResourceLibrary, place: Path, name: str
) -> None:
    before = files(place)
    attempts: list[Callable[[], object]] = [
        lambda: library.save(name, b"bad", replace=True),
        lambda: library.delete(name),
    ]
    for attempt in attempts:
        with pytest.raises(ResourceError) as caught:
            attempt()
        assert caught.value.reason == WRITE_REFUSED
    assert files(place) == before


def test_links_that_lead_out_are_refused_alike(
    library: ResourceLibrary, place: Path, shared: Path
) -> None:
    (shared / "folder").symlink_to(place / "elsewhere")
    (shared / "chain").symlink_to("folder")
    (shared / "file.txt").symlink_to(place / "outside.txt")
    (shared / "gone.txt").symlink_to(place / "none.txt")
    (shared / "system").symlink_to("../system")
    before = files(place)
    names = ["folder/known.txt", "folder/none", "chain/known.txt", "file.txt", "gone.txt"]
    for name in [*names, "system/preset.json", "system/none", "file.txt/none"]:
        assert refusals(library, f"shared://{name}") == [REFUSED] * 2 + [WRITE_REFUSED] * 3
    for folder in ("folder", "folder/none", "chain", "system", "file.txt", "gone.txt"):
        with pytest.raises(ResourceError) as caught:
            library.list("shared", folder)
        assert caught.value.reason == REFUSED
    assert files(place) == before


def test_links_within_are_never_written(
    library: ResourceLibrary, place: Path, shared: Path
) -> None:
    (shared / "link.txt").symlink_to("known.txt")
    (shared / "also").symlink_to("deep")
    (shared / "itself").symlink_to("itself")
    before = files(place)
    for name in ("link.txt", "also/known.txt", "also/none.txt", "itself", "itself/none"):
        for attempt in (
            lambda: library.save(f"shared://{name}", b"", replace=True),  # noqa: B023  # called at once
            lambda: library.delete(f"shared://{name}"),  # noqa: B023  # called at once
        ):
            with pytest.raises(ResourceError) as caught:
                attempt()
            assert caught.value.reason == WRITE_REFUSED
    assert files(place) == before
    assert content(library, "shared://also/known.txt") == b"deep"


GIF, JPEG, WEBP = b"GIF89a...", b"\xff\xd8\xff\xe0", b"RIFF\n\x00\x00\x00WEBPVP8 "
HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
UNKNOWN = "application/octet-stream"


@pytest.mark.parametrize(
    ("leaf", "data", "served"),
    [
        ("a.png", PNG, "image/png"),
        ("a.PNG", PNG, "image/png"),
        ("a.jpg", JPEG, "image/jpeg"),
        ("a.jpeg", JPEG, "image/jpeg"),
        ("a.gif", GIF, "image/gif"),
        ("a.webp", WEBP, "image/webp"),
        ("a.png", PNG + HTML, "image/png"),
        ("a.png", HTML, UNKNOWN),
        ("a.gif", SVG, UNKNOWN),
        ("a.jpg", PNG, UNKNOWN),
        ("a.webp", b"RIFF", UNKNOWN),
        ("a.png", b"", UNKNOWN),
        ("a.mp3", b"ID3", "audio/mpeg"),
        ("a.webm", b"\x1aE", "video/webm"),
        ("a.txt", HTML, "text/plain"),
        ("a.json", b"{}", "application/json"),
        ("a.html", HTML, UNKNOWN),
        ("a.htm", HTML, UNKNOWN),
        ("a.xhtml", HTML, UNKNOWN),
        ("a.svg", SVG, UNKNOWN),
        ("a.svgz", SVG, UNKNOWN),
        ("a.xml", SVG, UNKNOWN),
        ("a.js", b"alert(1)", UNKNOWN),
        ("a.mjs", b"alert(1)", UNKNOWN),
        ("a.css", b"*{}", UNKNOWN),
        ("a.pdf", b"%PDF-1.7", UNKNOWN),
        ("a.png.html", PNG, UNKNOWN),
        ("png", PNG, UNKNOWN),
        ("folder.png/html", HTML, UNKNOWN),
    ],
)
def test_only_what_is_harmless_is_shown(
    library: ResourceLibrary, leaf: str, data: bytes, served: str
) -> None:
    name = f"shared://{leaf}"
    library.save(name, data)
    assert library.media_type(name) == served
    with library.open(name) as resource:
        assert (resource.media_type, resource.size) == (served, len(data))
        assert resource.file.read() == data
        headers = resource.headers()
    assert resource.file.closed
    kind = "attachment" if served == UNKNOWN else "inline"
    assert headers == {
        "Content-Disposition": f'{kind}; filename="{leaf.rpartition("/")[2]}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }


def test_etags_tell_contents_apart(library: ResourceLibrary) -> None:
    def etag() -> str:
        with library.open("shared://a.txt") as resource:
            return resource.etag

    library.save("shared://a.txt", b"one")
    first = etag()
    assert etag() == first
    library.save("shared://a.txt", b"longer", replace=True)
    assert etag() != first


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("shared://deep/a b (1).png", 'inline; filename="a b (1).png"'),
        (
            'shared://a";x="b.png',
            "inline; filename=\"a__x=_b.png\"; filename*=UTF-8''a%22%3Bx%3D%22b.png",
        ),
        ("shared://caf\u00e9.png", "inline; filename=\"caf_.png\"; filename*=UTF-8''caf%C3%A9.png"),
        ("shared://100%.png", "inline; filename=\"100_.png\"; filename*=UTF-8''100%25.png"),
        ("a\r\nX: y.png", "inline; filename=\"a__X_ y.png\"; filename*=UTF-8''a%0D%0AX%3A%20y.png"),
        ("\ud800.png", "inline; filename=\"_.png\"; filename*=UTF-8''%3F.png"),
        ("a\\b.png", "inline; filename=\"a_b.png\"; filename*=UTF-8''a%5Cb.png"),
    ],
)
def test_file_names_stay_within_their_header(name: str, disposition: str) -> None:
    header = serving_headers(name, "image/png")["Content-Disposition"]
    assert header == disposition
    header.encode("ascii")


def test_other_types_are_never_shown() -> None:
    for media_type in ("text/html", "image/svg+xml", "application/pdf", "", "image/png; x"):
        header = serving_headers("a.png", media_type)["Content-Disposition"]
        assert header == 'attachment; filename="a.png"'


def test_many_threads_agree_on_one_upload(library: ResourceLibrary, shared: Path) -> None:
    outcomes: list[str] = []

    def work(number: int) -> None:
        for _ in range(5):
            try:
                library.save("shared://race/a.txt", str(number).encode())
                outcomes.append(str(number))
            except ResourceExistsError:
                pass

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) == {(shared / "race/a.txt").read_text()}
    assert len(outcomes) == 5
    assert os.listdir(shared / "race") == ["a.txt"]
