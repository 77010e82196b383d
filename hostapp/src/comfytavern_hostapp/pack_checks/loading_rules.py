"""What a pack does when a host loads it, in scratch processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .facts import PackFacts
from .findings import Fault, Rule, Severity
from .import_times import heaviest

__all__ = ("LOADING_RULES", "SLOW_MS")

SLOW_MS = 500.0

_PUT_BACK = "; it was put back"
# What the host says of a pack besides, and other rules say better.
_SAID_ELSEWHERE = ("no range of ", "it took ", "printed ", "a second copy is ignored")


def _record(facts: PackFacts) -> dict[str, Any]:  # Any: JSON
    """Return the host's record of the pack; empty if it was not loaded."""
    return dict(facts.loaded.record or {}) if facts.loaded is not None else {}


def _failed(
    *phases: str, text: str, remedy: str, conflict: bool | None = None
) -> Callable[[PackFacts], Iterator[Fault]]:
    """Return the rule for a failure in some phases of loading.

    :param text: with ``{}`` for what the host says
    :param remedy: what an author can do, where the host's own advice is for operators
    :param conflict: whether it takes a conflict, or anything else; None takes both
    """

    def find(facts: PackFacts) -> Iterator[Fault]:
        record = _record(facts)
        if record.get("phase") not in phases:
            return
        if conflict is None or conflict is (record["state"] == "conflict"):
            advice = str(record["remedy"])
            shown = remedy if not advice or "disable" in advice else advice
            yield Fault(text.format(record["error"]), shown)

    return find


def _killed(facts: PackFacts) -> Iterator[Fault]:
    for_nothing = "leave that to the code of its nodes: loading a pack only says what it has"
    if facts.imported is not None and facts.imported.ended.code is None:
        yield Fault(f"importing it holds up the host: {facts.imported.ended.how}", for_nothing)
    elif facts.loaded is not None and facts.loaded.killed:
        yield Fault(f"loading it takes the host with it: {facts.loaded.killed}", for_nothing)


def _slow(facts: PackFacts) -> Iterator[Fault]:
    imported = facts.imported
    if imported is None or imported.total_ms <= SLOW_MS:
        return
    heavy = heaviest(imported.times, facts.subject.own_tops)
    assert heavy is not None  # something took that time
    is_own = heavy.top in facts.subject.own_tops
    share = heavy.own_ms if is_own else heavy.total_ms
    text = f"importing it takes {imported.total_ms:.0f} ms, {heavy.module!r} alone {share:.0f} ms"
    later = "do that when a node runs" if is_own else "import it inside execute"
    yield Fault(text, f"{later}, or name execute as 'package.module:attribute'")


def _prints(facts: PackFacts) -> Iterator[Fault]:
    remedy = "log it instead: logging.getLogger(__name__)"
    if facts.imported is not None and facts.imported.printed:
        yield Fault(f"importing it writes to stdout: {facts.imported.printed[:80]!r}", remedy)
        return
    for warning in _record(facts).get("warnings", ()):
        if warning.startswith("printed "):
            yield Fault(f"loading it {warning}", remedy)


def _meddles(facts: PackFacts) -> Iterator[Fault]:
    for warning in _record(facts).get("warnings", ()):
        if warning.endswith(_PUT_BACK):
            text = f"loading it {warning.removesuffix(_PUT_BACK)}, which is the whole process's"
            yield Fault(text, "leave it as it is: the host puts it back")


def _broken_code(facts: PackFacts) -> Iterator[Fault]:
    for who, problem in facts.loaded.broken if facts.loaded is not None else ():
        yield Fault(f"{who} cannot run: {problem}", "name it as 'package.module:attribute'")


def _warnings(facts: PackFacts) -> Iterator[Fault]:
    for warning in _record(facts).get("warnings", ()):
        if not (warning.startswith(_SAID_ELSEWHERE) or warning.endswith(_PUT_BACK)):
            yield Fault(f"the host says of it: {warning}", "see docs/hooks.md")


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

LOADING_RULES: tuple[Rule[PackFacts], ...] = (
    Rule("process_killed", _ERROR, "loading it ends, and not the process", _killed),
    Rule(
        "import_failed",
        _ERROR,
        "what the entry points name can be imported",
        _failed(
            "import", text="importing it fails: {}", remedy="mend that, or install what is missing"
        ),
    ),
    Rule("import_slow", _WARNING, f"importing it takes {SLOW_MS:.0f} ms at most", _slow),
    Rule("import_prints", _ERROR, "loading it writes nothing to stdout", _prints),
    Rule("import_meddles", _WARNING, "loading it changes nothing of the whole process", _meddles),
    Rule(
        "attribute_wrong",
        _ERROR,
        "an entry point names a module or object with hooks",
        _failed(
            "attribute",
            text="its entry point leads nowhere: {}",
            remedy="name it as 'module:attribute'",
        ),
    ),
    Rule(
        "hook_wrong",
        _ERROR,
        "its hooks and their arguments are those of the host",
        _failed("hooks", text="{}", remedy="see docs/hooks.md for every hook and its arguments"),
    ),
    Rule(
        "settings_required",
        _WARNING,
        "it loads without settings",
        _failed(
            "settings",
            text="it does not load without settings: {}",
            remedy="give each field of its settings model a default",
        ),
    ),
    Rule(
        "type_taken",
        _ERROR,
        "no two of its node types have one full type",
        _failed("nodes", text="{}", remedy="rename one of them", conflict=True),
    ),
    Rule(
        "definition_wrong",
        _ERROR,
        "every node definition is valid",
        _failed(
            "nodes",
            text="{}",
            remedy="mend the definition; see register_nodes in docs/hooks.md",
            conflict=False,
        ),
    ),
    Rule(
        "code_missing", _ERROR, "what its node types and commands run can be imported", _broken_code
    ),
    Rule(
        "contribution_wrong",
        _ERROR,
        "its services and runners can be had",
        _failed("services", "runners", text="{}", remedy="see docs/hooks.md"),
    ),
    Rule("load_warning", _WARNING, "the host has nothing to say of it", _warnings),
)
