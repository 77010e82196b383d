"""Every exception: its code, its text as a whole, what it carries, and whom it descends from."""

from __future__ import annotations

import inspect

import pytest

import comfytavern.errors as module
from comfytavern.errors import (
    ComfyTavernError,
    Finding,
    HostError,
    MissingPackError,
    NodeFailedError,
    PackConflictError,
    PackError,
    PackHookError,
    PackImportError,
    PackSettingsError,
    QueueFullError,
    ResourceError,
    RunError,
    RunInterruptedError,
    StreamBrokenError,
    StreamOverflowError,
    UnknownClientScriptError,
    UnknownNodeTypeError,
    UnknownPackError,
    UnknownRunError,
    WorkflowError,
    did_you_mean,
)

ONE, TWO = Finding("a", "first problem"), Finding("b", "second problem")
TEXTS: list[tuple[ComfyTavernError, str, str]] = [
    (PackError("some-pack", "it broke"), "pack_failed", "pack 'some-pack' failed: it broke"),
    (
        PackImportError(
            "some-pack",
            "No module named 'tiktoken'",
            version="0.3.0",
            remedy="install it or disable the pack",
        ),
        "pack_import_failed",
        (
            "pack 'some-pack' 0.3.0 failed to import: No module named 'tiktoken';"
            " install it or disable the pack"
        ),
    ),
    (
        PackHookError("some-pack", "no such hook", version="1", phase="check"),
        "pack_hook_failed",
        "pack 'some-pack' 1 has a broken hook: no such hook",
    ),
    (
        PackConflictError("some-pack", "the namespace is taken"),
        "pack_conflict",
        "pack 'some-pack' is in conflict: the namespace is taken",
    ),
    (
        PackSettingsError("some-pack", [(("a", 0), "too small"), ((), "not an object")]),
        "pack_settings",
        "pack 'some-pack' has settings that do not fit: a.0: too small; the block: not an object",
    ),
    (
        UnknownPackError("some-pakc", ["some-pack", "other"]),
        "unknown_pack",
        "no installed pack is named 'some-pakc'; did you mean 'some-pack'?",
    ),
    (UnknownPackError("x", []), "unknown_pack", "no installed pack is named 'x'"),
    (
        UnknownNodeTypeError("a:B", "pack 'a' is not installed"),
        "unknown_node_type",
        "unknown node type 'a:B'; pack 'a' is not installed",
    ),
    (UnknownNodeTypeError("a:B"), "unknown_node_type", "unknown node type 'a:B'"),
    (
        MissingPackError("a:B", "pack 'a' is not installed"),
        "missing_pack",
        "no loaded pack has the type 'a:B'; pack 'a' is not installed",
    ),
    (MissingPackError("a:B"), "missing_pack", "no loaded pack has the type 'a:B'"),
    (
        UnknownClientScriptError("a:B", "c.js"),
        "unknown_client_script",
        "node type 'a:B' has no client script 'c.js'",
    ),
    (
        UnknownClientScriptError("a:B", None),
        "unknown_client_script",
        "node type 'a:B' has no client script",
    ),
    (
        UnknownClientScriptError("a:B", "c.js", limit=3 * 2**19),
        "unknown_client_script",
        "the client script 'c.js' of node type 'a:B' is larger than 1.5 MiB",
    ),
    (WorkflowError([ONE]), "workflow_invalid", "first problem"),
    (
        WorkflowError([ONE, TWO]),
        "workflow_invalid",
        "the workflow has 2 problems\n  first problem\n  second problem",
    ),
    (
        NodeFailedError("n1", "test:Fail", "boom"),
        "node_failed",
        "node 'n1' (test:Fail) failed: boom",
    ),
    (
        StreamBrokenError("n1", "words", "boom"),
        "stream_broken",
        "the stream n1.words broke: boom",
    ),
    (
        StreamOverflowError("n1", "words", "n2", 5),
        "stream_overflow",
        (
            "the stream n1.words has 5 chunks waiting for n2, which cannot take them before the"
            " stream ends; read the stream first, or raise limits.stream_overflow"
        ),
    ),
    (RunInterruptedError("r1"), "interrupted", "run 'r1' was interrupted"),
    (
        ResourceError("shared://a", "not found"),
        "resource_refused",
        "resource 'shared://a': not found",
    ),
    (UnknownRunError("r1"), "unknown_run", "no run has the id 'r1'"),
    (QueueFullError(8, 2.5), "queue_full", "8 runs are waiting already; try again in 2.5 s"),
]


@pytest.mark.parametrize(("error", "code", "text"), TEXTS, ids=lambda value: type(value).__name__)
def test_text_and_code(error: ComfyTavernError, code: str, text: str) -> None:
    assert (error.code, str(error)) == (code, text)


PARENTS: dict[type[ComfyTavernError], type[Exception]] = {
    ComfyTavernError: Exception,
    PackError: ComfyTavernError,
    PackImportError: PackError,
    PackHookError: PackError,
    PackConflictError: PackError,
    PackSettingsError: PackError,
    UnknownPackError: ComfyTavernError,
    UnknownNodeTypeError: ComfyTavernError,
    MissingPackError: ComfyTavernError,
    UnknownClientScriptError: ComfyTavernError,
    WorkflowError: ComfyTavernError,
    RunError: ComfyTavernError,
    NodeFailedError: RunError,
    StreamBrokenError: RunError,
    StreamOverflowError: RunError,
    RunInterruptedError: RunError,
    ResourceError: ComfyTavernError,
    HostError: ComfyTavernError,
    UnknownRunError: HostError,
    QueueFullError: HostError,
}


def defined() -> set[type[ComfyTavernError]]:
    found = (value for _, value in inspect.getmembers(module, inspect.isclass))
    return {value for value in found if issubclass(value, ComfyTavernError)}


def test_the_tree() -> None:
    assert {error: error.__base__ for error in defined()} == PARENTS


def test_codes_are_unique() -> None:
    codes = [error.code for error in defined()]
    assert sorted(set(codes)) == sorted(codes)


def test_every_error_is_drawn_in_the_tree_of_the_module() -> None:
    assert module.__doc__ is not None
    drawing = module.__doc__.split("```")[1]
    assert {error.__name__ for error in defined()} <= set(drawing.split())


def test_errors_carry_what_they_are_about() -> None:
    pack = PackError("p", "why", version="1", phase="import", remedy="fix it")
    assert (pack.distribution, pack.version, pack.phase) == ("p", "1", "import")
    assert (pack.reason, pack.remedy) == ("why", "fix it")
    settings = PackSettingsError("p", [(("a",), "bad")])
    assert (settings.problems, settings.phase) == (((("a",), "bad"),), "settings")
    overflow = StreamOverflowError("a", "s", "b", 7)
    shown = (overflow.node_id, overflow.slot, overflow.reader, overflow.limit)
    assert shown == ("a", "s", "b", 7)
    broken = StreamBrokenError("a", "s", "why")
    assert (broken.node_id, broken.slot, broken.reason) == ("a", "s", "why")
    full = QueueFullError(3, 1)
    assert (full.limit, full.retry_after) == (3, 1)
    assert UnknownRunError("r").run_id == RunInterruptedError("r").run_id == "r"
    assert WorkflowError([ONE, TWO]).findings == (ONE, TWO)


def test_a_failed_node_carries_code_and_details() -> None:
    details = {"model": "m"}
    error = NodeFailedError("n", "t:T", "why", pack="p", code="rate_limited", details=details)
    details["model"] = "changed"
    assert (error.node_id, error.node_type, error.reason, error.pack) == ("n", "t:T", "why", "p")
    assert (error.error_code, error.code) == ("rate_limited", "node_failed")
    assert error.details == {"model": "m"}
    assert NodeFailedError("n", "t:T", "why").error_code == "node_failed"


@pytest.mark.parametrize(
    ("finding", "wire"),
    [
        (Finding("c", "text"), {"code": "c", "message": "text"}),
        (
            Finding("c", "text", node="n", slot="s", path="a.0", severity="warning"),
            {"code": "c", "message": "text", "node": "n", "slot": "s", "path": "a.0"},
        ),
        (
            Finding("c", "text", node="", slot=None),
            {"code": "c", "message": "text", "node": ""},
        ),
    ],
)
def test_findings_on_the_wire(finding: Finding, wire: dict[str, str]) -> None:
    assert finding.to_wire() == wire


def test_a_finding_can_be_sent_whatever_it_is_about() -> None:
    # names come from foreign files and requests, and JSON can spell half of an emoji
    wire = Finding("c", "text \ud83d", node="\ud83d", slot="\ud83d", path="\ud83d").to_wire()
    assert wire == {"code": "c", "message": "text ?", "node": "?", "slot": "?", "path": "?"}


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("core:TextMreg", ["core:TextMerge", "core:Text"], "; did you mean 'core:TextMerge'?"),
        ("prompt", ["seed"], ""),
        ("prompt", [], ""),
        ("prompt", {"promt": 1}, "; did you mean 'promt'?"),
    ],
)
def test_did_you_mean(name: str, candidates: list[str], expected: str) -> None:
    assert did_you_mean(name, candidates) == expected
