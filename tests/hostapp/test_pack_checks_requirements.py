"""``packs check``: what a pack requires, held against what is installed."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from comfytavern_hostapp.pack_checks.checking import check_pack
from comfytavern_hostapp.pack_checks.environment import read_environment
from comfytavern_hostapp.pack_checks.requirement_rules import are_disjoint

from .wheels_on_disk import CORE, FakeWheel, error, warning

STATE = "state it as: comfytavern-core>=0.1,<1"
WIDEN = "widen one of the two ranges, or leave one of the two out"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a folder for installed distributions, before those of this Python."""
    return tmp_path / "site"


def findings(given: str, site: Path) -> list[str]:
    environment = read_environment([site, *sys.path])
    return [str(finding) for finding in check_pack(given, environment, run=False).findings]


def told(requires: list[str], site: Path, own_version: str = "1.0") -> list[str]:
    """Check a wheel that requires this."""
    wheel = FakeWheel(requires=requires, version=own_version)
    return findings(wheel.build(site.parent / "dist"), site)


def test_no_range_of_the_core(site: Path) -> None:
    text = "it states no range of comfytavern-core in Requires-Dist"
    assert told([], site) == [error("api_range_missing", text, STATE)]
    assert told(["comfytavern-core"], site) == [error("api_range_missing", text, STATE)]


def test_a_range_of_the_core_without_an_end(site: Path) -> None:
    text = (
        "its range of comfytavern-core (>=0.1) has no upper end,"
        " so it takes in versions that nobody has tried"
    )
    assert told(["comfytavern-core>=0.1"], site) == [warning("api_range_open", text, STATE)]


def test_pins_of_what_the_host_needs(site: Path) -> None:
    FakeWheel("anyio", {}, version="4.20").install(site)
    FakeWheel("own-thing", {}, version="2.0").install(site)
    requires = [CORE, "anyio==4.20", "pluggy==1.*", "own-thing==2.0"]
    text = "it pins 'anyio==4.20', which the host needs too"
    remedy = "give a range, so that both can be there: anyio>=..."
    assert told(requires, site) == [error("pin_shared", text, remedy)]


def test_a_conflict_names_both_sides_and_their_ranges(site: Path) -> None:
    FakeWheel("the-hub", {}, version="1.2").install(site)
    FakeWheel("other-pack", {}, version="3.0", requires=["the-hub>=1.0"]).install(site)
    text = "it requires 'The_Hub==0.24.6', and 'other-pack' 3.0 requires 'The_Hub>=1.0'"
    assert told([CORE, "The_Hub==0.24.6"], site) == [error("requirement_conflict", text, WIDEN)]


def test_a_conflict_over_what_is_not_installed(site: Path) -> None:
    FakeWheel("other-pack", {}, requires=["the-hub<1"]).install(site)
    text = "it requires 'the-hub>=1', and 'other-pack' 1.0 requires 'the-hub<1'"
    assert told([CORE, "the-hub>=1"], site) == [error("requirement_conflict", text, WIDEN)]


def test_a_core_that_the_host_cannot_have(site: Path) -> None:
    host = f"'comfytavern-hostapp' {version('comfytavern-hostapp')}"
    text = f"it requires 'comfytavern-core<10,>=9', and {host} requires 'comfytavern-core<1,>=0.1'"
    assert error("requirement_conflict", text, WIDEN) in told(["comfytavern-core>=9,<10"], site)


def test_others_that_want_another_version_of_it(site: Path) -> None:
    FakeWheel("other-pack", {}, requires=["some-pack<2"]).install(site)
    text = "'other-pack' 1.0 requires 'some-pack<2', and this is 2.0"
    assert told([CORE], site, "2.0") == [error("requirement_conflict", text, WIDEN)]
    assert told([CORE], site, "1.9") == []


def test_extras_and_markers_count(site: Path) -> None:
    extras = ["speedups>=2; extra == 'fast'", "other>=9; extra == 'more'"]
    FakeWheel("the-hub", {}, requires=extras).install(site)
    FakeWheel("speedups", {}, version="1.0").install(site)
    old = "the-hub==0.1; python_version < '3'"
    text = (
        "it requires 'speedups>=2' through 'the-hub[fast]', and 1.0 is installed:"
        " installing the pack changes that"
    )
    remedy = "let its range take in what is installed, if that works"
    expected = [warning("requirement_changes", text, remedy)]
    assert told([CORE, old, "the-hub[fast]", "gone; extra == 'dev'"], site) == expected


def test_what_is_not_here_cannot_be_checked(site: Path) -> None:
    text = (
        "it requires 'nobody-has-this>=1', which is not installed,"
        " so what that requires is not known"
    )
    remedy = 'to check it too: python -m pip install "nobody-has-this>=1"'
    expected = [warning("requirement_missing", text, remedy)]
    assert told([CORE, "nobody-has-this>=1"], site) == expected


def test_an_installed_pack_must_have_it(site: Path) -> None:
    FakeWheel(requires=[CORE, "nobody-has-this>=1", "the-hub>=2"]).install(site)
    FakeWheel("the-hub", {}, version="1.0").install(site)
    assert findings("Some_Pack", site) == [
        error(
            "requirement_unmet",
            "it requires 'nobody-has-this>=1', and it is not installed",
            'python -m pip install "nobody-has-this>=1"',
        ),
        error(
            "requirement_unmet",
            "it requires 'the-hub>=2', and 1.0 is installed",
            'python -m pip install "the-hub>=2"',
        ),
    ]


@pytest.mark.parametrize(
    ("one", "other", "disjoint"),
    [
        ("<1", ">=1", True),
        ("<=1", ">=1", False),
        (">1", "<=1", True),
        (">1", "<1.1", False),
        ("<2", "<1", False),
        ("==1.*", ">=1.5", False),
        ("==1.5", "~=1.4", False),
        ("==2.0", "~=1.4", True),
        ("", "==7", False),
        (">=1,<2", "!=1.0,<1.5", False),
        ("==1.0rc1", ">=1.0rc1", False),
        ("===odd", ">=1", True),
        ("==1.4.*", ">1.4,<1.5", False),
    ],
)
def test_ranges_that_have_nothing_in_common(one: str, other: str, disjoint: bool) -> None:
    assert are_disjoint(SpecifierSet(one), SpecifierSet(other)) is disjoint
    assert are_disjoint(SpecifierSet(other), SpecifierSet(one)) is disjoint
