"""What a wheel holds, and where it would be put."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from comfytavern.discovery import PACKS_GROUP

from .environment import Installed
from .facts import PackFacts, missing_modules
from .findings import Fault, Rule, Severity
from .module_names import top_levels
from .subjects import Kind
from .wheels import UnreadableError, check_record

__all__ = ("CONTENT_RULES", "UNREADABLE")

_SHIP = "have the build ship it, and look into the wheel: python -m zipfile -l dist/*.whl"


def _unreadable(error: UnreadableError) -> Iterator[Fault]:
    yield Fault(error.reason, error.remedy)


def _record(facts: PackFacts) -> Iterator[Fault]:
    if facts.subject.kind is Kind.WHEEL:
        for text in check_record(facts.subject.info):
            yield Fault(text, "build the wheel anew and change nothing in it afterwards")


def _entry_points(facts: PackFacts) -> Iterator[Fault]:
    pack = facts.subject.pack
    if not (pack.entry_points or pack.commands):
        yield Fault(
            f"it has no entry point in the group {PACKS_GROUP!r}, so no host finds it",
            f'add the table [project.entry-points."{PACKS_GROUP}"] to its pyproject.toml',
        )


def _modules(facts: PackFacts) -> Iterator[Fault]:
    subject = facts.subject
    for entry in (*subject.pack.entry_points, *subject.pack.commands):
        if missing_modules(subject.files, [entry.module]):
            yield Fault(
                f"entry point {entry.name!r} names the module {entry.module!r},"
                f" which is not in the {_holder(facts)}",
                _SHIP,
            )


def _holder(facts: PackFacts) -> str:
    names = {Kind.WHEEL: "wheel", Kind.PROJECT: "sources", Kind.INSTALLED: "installed files"}
    return names[facts.subject.kind]


def _tags(facts: PackFacts) -> Iterator[Fault]:
    if facts.subject.foreign:
        yield Fault(
            f"it is built for {facts.subject.foreign}, so it was not imported",
            "check it with a Python that it is built for",
        )


def _python(facts: PackFacts) -> Iterator[Fault]:
    wanted, here = facts.subject.requires_python, platform.python_version()
    try:
        fits = SpecifierSet(wanted).contains(here, prereleases=True)
    except InvalidSpecifier:
        yield Fault(f"Requires-Python is {wanted!r}", "write it as: >=3.11")
        return
    if not fits:
        yield Fault(
            f"it requires Python {wanted}, and this is {here}",
            "check it with a Python that it is made for, or widen requires-python",
        )


def _tops(facts: PackFacts) -> Iterator[Fault]:
    subject = facts.subject
    own = top_levels(subject.files)
    rename = "rename it; one package that is named like the distribution is enough"
    for top, is_regular in sorted(own.items()):
        if top in sys.stdlib_module_names:
            yield Fault(f"its top-level module {top!r} is one of Python's own", rename)
            continue
        for other in facts.environment.by_name.values():
            if other.name != subject.pack.distribution and _clash(facts, top, is_regular, other):
                yield Fault(f"its top-level module {top!r} is one of {other.name!r}, too", rename)


def _clash(facts: PackFacts, top: str, is_regular: bool, other: Installed) -> bool:
    """Return whether two distributions cannot share a name: a namespace they can, no file."""
    if top not in other.tops:
        return False
    below = {path for path in facts.subject.files if path.startswith(f"{top}/")}
    return is_regular or other.tops[top] or bool(below & other.files)


def _assets(facts: PackFacts) -> Iterator[Fault]:
    if facts.loaded is None:
        return
    subject, holder = facts.subject, _holder(facts)
    for full_type, script in facts.loaded.scripts:
        if not any(f"{top}/{script}" in subject.files for top in subject.own_tops):
            text = f"node type {full_type!r} names the client script {script!r}"
            yield Fault(f"{text}, which is not in the {holder}", _SHIP)
    for full_type, path in facts.loaded.files:
        # The function may be a library's; only the pack's own files can be missing.
        if path.partition("/")[0] in subject.own_tops and path not in subject.files:
            text = f"node type {full_type!r} names the file {path!r}"
            yield Fault(f"{text}, which is not in the {holder}", _SHIP)


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

UNREADABLE: Rule[UnreadableError] = Rule(
    "unreadable", _ERROR, "it is a wheel, a project or installed, with whole metadata", _unreadable
)
CONTENT_RULES: tuple[Rule[PackFacts], ...] = (
    Rule("record_wrong", _ERROR, "RECORD of a wheel lists every file with its hash", _record),
    Rule("entry_point_missing", _ERROR, "there is an entry point for the host", _entry_points),
    Rule("module_missing", _ERROR, "what the entry points name is in the wheel", _modules),
    Rule("tags_foreign", _WARNING, "a wheel is for the Python that checks it", _tags),
    Rule("python_excluded", _ERROR, "`Requires-Python` allows the Python that checks it", _python),
    Rule("top_level_taken", _ERROR, "no other distribution has its top-level names", _tops),
    Rule("asset_missing", _ERROR, "scripts and files that node types name are there", _assets),
)
