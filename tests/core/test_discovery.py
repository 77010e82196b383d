"""The scan of installed distributions: what it reads, and what it survives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfytavern.discovery import FoundPack, PackEntryPoint, find_packs, normalise

from ..packs_on_disk import PacksOnDisk, forget_caches, packs_on_path


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        yield written


def only(packs: PacksOnDisk) -> FoundPack:
    [found] = packs.found()
    return found


@pytest.mark.parametrize(
    ("name", "normalised"),
    [("Some_Pack", "some-pack"), ("a--b.._c", "a-b-c"), ("plain", "plain")],
)
def test_names_have_one_spelling(name: str, normalised: str) -> None:
    assert normalise(name) == normalised


def test_everything_comes_from_metadata(packs: PacksOnDisk) -> None:
    info = packs.write(
        "Some_Pack",
        entry_points=(
            "# a comment\n[console_scripts]\nrun = a:b\n\n"
            "[comfytavern.packs]\nmain = some_pack.plugin : plugin [extra]\nmore=some_pack\n"
            "[ comfytavern.commands ]\ncards = some_pack.cli:main\n"
        ),
    )
    assert only(packs) == FoundPack(
        distribution="some-pack",
        version="1.0",
        summary="The pack Some_Pack.",
        entry_points=(
            PackEntryPoint("main", "some_pack.plugin:plugin"),
            PackEntryPoint("more", "some_pack"),
        ),
        commands=(PackEntryPoint("cards", "some_pack.cli:main"),),
        requires="<1,>=0.1",
        location=info,
    )


def test_an_entry_point_names_a_module_and_an_attribute() -> None:
    entry = PackEntryPoint("main", "some_pack.plugin:the.plugin")
    assert (entry.module, entry.attribute) == ("some_pack.plugin", "the.plugin")
    assert PackEntryPoint("main", "some_pack").attribute == ""


def test_packs_are_sorted_by_name(packs: PacksOnDisk) -> None:
    for name in ("b-pack", "a-pack", "c-pack"):
        packs.write(name)
    assert [found.distribution for found in packs.found()] == ["a-pack", "b-pack", "c-pack"]


@pytest.mark.parametrize(
    "entry_points",
    ["[console_scripts]\nx = a:b\n", "[comfytavern.packs]\n", "[comfytavern.other]\nx = a\n"],
)
def test_other_distributions_are_no_packs(packs: PacksOnDisk, entry_points: str) -> None:
    packs.write("other", entry_points=entry_points)
    assert packs.found() == []


def test_distribution_without_entry_points_is_no_pack(packs: PacksOnDisk) -> None:
    (packs.write("other") / "entry_points.txt").unlink()
    assert packs.found() == []


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        (None, None),
        ("comfytavern-core", ""),
        ("Comfytavern_Core (>=0.1, <1)", ">=0.1,<1"),
        ("comfytavern-core[extra]>=0.1", ">=0.1"),
        ("comfytavern-core @ file:///somewhere", ""),
        ("comfytavern-core-nodes>=3", None),
        ("comfytavern-core>=0.1; python_version >= '3'", ">=0.1"),
        ("comfytavern-core>=9; extra == 'next'", None),
        ("comfytavern-core>=0.1\nRequires-Dist: comfytavern-core<1", ">=0.1,<1"),
    ],
)
def test_range_of_the_core(packs: PacksOnDisk, requires: str | None, expected: str | None) -> None:
    packs.write("some-pack", requires=requires)
    assert only(packs).requires == expected
    assert only(packs).problem is None


def test_first_on_the_path_owns_the_name(packs: PacksOnDisk, tmp_path: Path) -> None:
    first = PacksOnDisk(tmp_path / "first")
    owner = first.write("some-pack", version="1.0")
    hidden = packs.write("Some.Pack", version="2.0")
    [found] = find_packs([first.root, packs.root])
    assert (found.version, found.location, found.shadowed) == ("1.0", owner, (hidden,))


def test_first_by_name_owns_it_inside_one_folder(packs: PacksOnDisk) -> None:
    packs.write("some-pack", version="2.0")
    packs.write("some-pack", version="1.0")
    found = only(packs)
    assert found.version == "1.0"
    assert [place.name for place in found.shadowed] == ["some_pack-2.0.dist-info"]


def test_one_folder_twice_on_the_path_is_no_copy(packs: PacksOnDisk, tmp_path: Path) -> None:
    packs.write("some-pack")
    link = tmp_path / "link"
    link.symlink_to(packs.root)
    [found] = find_packs([packs.root, packs.root, link])
    assert found.shadowed == ()


def test_a_copy_without_entry_points_hides_a_pack_and_says_so(
    packs: PacksOnDisk, tmp_path: Path
) -> None:
    first = PacksOnDisk(tmp_path / "first")
    owner = first.write("some-pack")
    (owner / "entry_points.txt").unlink()
    packs.write("some-pack")
    [found] = find_packs([first.root, packs.root])
    assert found.problem == f"a copy without entry points comes first on the path: {owner}"


def test_what_pip_leaves_behind_is_skipped(packs: PacksOnDisk) -> None:
    info = packs.write("some-pack")
    info.rename(info.with_name("~ome_pack-1.0.dist-info"))
    forget_caches()
    assert packs.found() == []


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        (None, "METADATA: there is no such file"),
        (b"", "METADATA: it has no Name"),
        (b"\x00\xff\xfe garbage", "METADATA: it has no Name"),
        (b"Name: some-pack\n", "METADATA: it has no Version"),
        (b"Name: a b\nVersion: 1\n", "METADATA: its Name is 'a b', which no distribution can have"),
        (b"Name: some-pack\nVersion: \n", "METADATA: its Version is '', which is no version"),
        (
            b"Name: some-pack\nVersion: 1\nRequires-Dist: comfytavern-core>=1; what?\n",
            "METADATA: the marker 'what?' cannot be read",
        ),
    ],
)
def test_damaged_metadata_is_a_pack_with_a_problem(
    packs: PacksOnDisk, metadata: bytes | None, problem: str
) -> None:
    info = packs.write("some-pack", version="1.5")
    packs.write("other-pack")
    if metadata is None:
        (info / "METADATA").unlink()
    else:
        (info / "METADATA").write_bytes(metadata)
    other, found = packs.found()
    assert other.problem is None
    assert (found.distribution, found.version, found.problem) == ("some-pack", "1.5", problem)
    assert found.entry_points == (PackEntryPoint("some-pack", "some_pack"),)


@pytest.mark.parametrize(
    ("entry_points", "problem"),
    [
        (b"[comfytavern.packs]\nx = \xff\n", "this is not UTF-8 text"),
        (b"[comfytavern.packs\nx = a\n", "line 1 is '[comfytavern.packs'; expected '[section]'"),
        (
            b"[comfytavern.packs]\nsome_pack\n",
            "line 2 is 'some_pack'; expected 'name = module:attribute'",
        ),
        (
            b"[comfytavern.packs]\nx = no module\n",
            "line 2 is 'x = no module'; expected 'name = module:attribute'",
        ),
    ],
)
def test_damaged_entry_points_are_a_pack_with_a_problem(
    packs: PacksOnDisk, entry_points: bytes, problem: str
) -> None:
    info = packs.write("some-pack")
    packs.write("other-pack")
    (info / "entry_points.txt").write_bytes(entry_points)
    other, found = packs.found()
    assert other.problem is None
    assert found == FoundPack(
        "some-pack", "1.0", location=info, problem=f"entry_points.txt: {problem}"
    )


def test_damage_that_is_not_ours_is_ignored(packs: PacksOnDisk) -> None:
    (packs.write("stranger") / "entry_points.txt").write_bytes(b"\xff no section\n= \n")
    packs.write(
        "some-pack", entry_points="stray\n[console_scripts]\n=\n[comfytavern.packs]\nx = some_pack"
    )
    assert only(packs).problem is None


def test_unreadable_texts_are_read_as_far_as_possible(packs: PacksOnDisk) -> None:
    info = packs.write("some-pack")
    (info / "METADATA").write_bytes(b"Name: some-pack\nVersion: 1\nSummary: caf\xe9\n")
    assert only(packs).summary == "caf\ufffd"


def test_editable_installations_are_told_apart(packs: PacksOnDisk, tmp_path: Path) -> None:
    packs.write("edited", editable=tmp_path / "sources")
    broken = packs.write("broken", editable=tmp_path / "sources")
    (broken / "direct_url.json").write_text("[]", "utf-8")
    packs.write("wheel")
    editable = {found.distribution: found.editable for found in packs.found()}
    assert editable == {"broken": False, "edited": True, "wheel": False}


def test_egg_info_is_read_too(packs: PacksOnDisk) -> None:
    info = packs.write("some-pack")
    (info / "METADATA").rename(info / "PKG-INFO")
    egg = info.rename(info.with_name("some_pack.egg-info"))
    forget_caches()
    found = only(packs)
    assert (found.distribution, found.location, found.editable) == ("some-pack", egg, True)


def test_missing_folders_are_no_error(tmp_path: Path) -> None:
    assert find_packs([tmp_path / "nowhere", os.devnull]) == []


def test_one_file_removed_while_scanning(
    packs: PacksOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = packs.write("some-pack")
    copy = PacksOnDisk(packs.root.parent / "copy").write("some-pack")
    monkeypatch.setattr("os.path.samefile", removed)
    [found] = find_packs([packs.root, copy.parent])
    assert (found.location, found.shadowed) == (info, (copy,))


def removed(*_: object) -> bool:
    raise FileNotFoundError


def test_a_scan_imports_nothing_heavy(packs: PacksOnDisk) -> None:
    packs.write("some-pack")
    probe = (
        "import sys; from comfytavern.discovery import find_packs; print(len(find_packs()));"
        "print([m for m in ('packaging', 'email', 'some_pack') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(packs.root)},
    )
    count, heavy = done.stdout.splitlines()
    assert int(count) >= 1
    assert heavy in ("[]", "['email']")  # importlib.metadata imports email by itself
