"""What a new pack may be called."""

from __future__ import annotations

import sys

import pytest

from comfytavern_hostapp.pack_names import MAX_NAME, PackName, PackNameError, check_name

PLAIN = "expected ASCII letters, digits, '-', '_' and '.', with a letter or digit at both ends"
PYTHONS = "it would hide the module {!r} of Python's own library"
INSTALLED = "a distribution of this name is installed"
OURS = "names that begin with 'comfytavern' are for ComfyTavern's own distributions"
COMMON = "many projects have a folder or file of this name, and it would hide them"
WINDOWS = "Windows can have no file of this name"


@pytest.mark.parametrize(
    ("name", "reason", "suggestion"),
    [
        ("", PLAIN, "my-nodes"),
        ("../evil", PLAIN, "evil"),
        ("-x", PLAIN, "x"),
        ("Höhlen nodes!", PLAIN, "hohlen-nodes"),
        ("колода", PLAIN, "my-nodes"),
        ("a\nb", PLAIN, "a-b"),
        ("tavern-voices\n", PLAIN, "tavern-voices"),
        ("x" * 51, "it has 51 characters, more than 50", "x" * 40),
        ("3d", "its module would be '3d', and no module begins with a digit", "my-3d"),
        ("Class", "it is a keyword of Python, so nothing could import it", "class-nodes"),
        ("ComfyTavern", OURS, "my-nodes"),
        ("comfytavern_voices", OURS, "voices"),
        ("comfytavern-json", OURS, "json-nodes"),
        ("core", "workflows name built-in nodes by 'core:'", "core-nodes"),
        ("tests", COMMON, "tests-nodes"),
        ("conftest", COMMON, "conftest-nodes"),
        ("NUL", WINDOWS, "nul-nodes"),
        ("com1", WINDOWS, "com1-nodes"),
        ("json", PYTHONS.format("json"), "json-nodes"),
        ("Concurrent", PYTHONS.format("concurrent"), "concurrent-nodes"),
        ("types.PyYAML", INSTALLED, "types-pyyaml-nodes"),
        ("pydantic_core", INSTALLED, "pydantic-core-nodes"),
        ("yaml", "it would hide the installed module 'yaml'", "yaml-nodes"),
        ("quillmark_", PLAIN, "quillmark"),
    ],
)
def test_a_name_that_no_pack_can_have(name: str, reason: str, suggestion: str) -> None:
    with pytest.raises(PackNameError) as caught:
        check_name(name)
    message = f"a pack cannot be named {name!r}: {reason}; try {suggestion!r}"
    assert str(caught.value) == message
    assert check_name(suggestion).distribution == suggestion


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("voices", ("voices", "voices")),
        ("Tavern..Voices_2", ("tavern-voices-2", "tavern_voices_2")),
        ("x" * MAX_NAME, ("x" * MAX_NAME, "x" * MAX_NAME)),
        ("match", ("match", "match")),  # a keyword in some places only
    ],
)
def test_a_name_that_a_pack_can_have(name: str, names: tuple[str, str]) -> None:
    assert check_name(name) == PackName(*names)


def test_looking_for_modules_imports_none() -> None:
    assert "this" not in sys.modules
    with pytest.raises(PackNameError):
        check_name("this")
    assert "this" not in sys.modules
