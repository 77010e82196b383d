"""Texts that do not say where this machine keeps its files."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from comfytavern.places import HIDDEN_FOLDER, hiding_places


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


def test_paths_become_relative_to_what_is_known(home: Path, tmp_path: Path) -> None:
    hide = hiding_places([tmp_path / "data"])
    library = Path(json.__file__)
    working = Path.cwd()
    text = f"{tmp_path / 'data' / 'x.bin'}, {home / 'y'}, {library}, {working / 'z'!s}"
    assert hide(text).replace("\\", "/") == "x.bin, y, json/__init__.py, z"
    assert hide(f"[Errno 2] '{Path(tempfile.gettempdir()) / 'some' / 'file'}'") in (
        "[Errno 2] 'some/file'",
        "[Errno 2] 'some\\file'",
    )


def test_a_folder_by_itself_is_no_place(home: Path) -> None:
    hide = hiding_places()
    assert hide(f"cannot write to {home}; {home}: no") == (
        f"cannot write to {HIDDEN_FOLDER}; {HIDDEN_FOLDER}: no"
    )


def test_what_merely_looks_alike_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in ("gettempdir", "getcwd"):
        module = tempfile if where == "gettempdir" else os
        monkeypatch.setattr(module, where, lambda: os.sep)
    hide = hiding_places([tmp_path / "data"])
    for text in (
        f"{tmp_path / 'database'}",
        f"{tmp_path / 'data'}.bak",
        f"other{tmp_path / 'data' / 'x'}",
        "POST /api/prompt takes application/json",
        "",
    ):
        assert hide(text) == text


def test_a_link_is_known_by_both_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    hide = hiding_places([tmp_path / "link"])
    assert hide(f"{tmp_path / 'real' / 'a'} {tmp_path / 'link' / 'b'}").split() == ["a", "b"]


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError("getcwd")

    monkeypatch.setattr(sys, "path", ["", str(tmp_path / "site")])
    monkeypatch.setattr(os, "getcwd", gone)
    assert hiding_places()(f"{tmp_path / 'site' / 'x.py'}") == "x.py"
