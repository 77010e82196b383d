"""Installed files: are they what was installed, and which of them run at every start of Python."""

from __future__ import annotations

from collections.abc import Iterator

from .findings import Fault, Rule, Severity
from .surroundings import PathFile, Surroundings

__all__ = ("FILE_RULES",)

_MOST_NAMES = 3


def _changed(around: Surroundings) -> Iterator[Fault]:
    for name, deviations in around.deviations.items():
        if deviations.changed:
            be = "is" if len(deviations.changed) == 1 else "are"
            text = f"{_files(deviations.changed)} of {_shown(around, name)} {be} not as installed"
            yield Fault(text, f"look at what changed, then: {_reinstall(around, name)}")


def _missing(around: Surroundings) -> Iterator[Fault]:
    for name, deviations in around.deviations.items():
        if deviations.missing:
            be = "is" if len(deviations.missing) == 1 else "are"
            text = f"{_files(deviations.missing)} of {_shown(around, name)} {be} missing"
            yield Fault(text, _reinstall(around, name))


def _files(paths: tuple[str, ...]) -> str:
    shown = ", ".join(map(repr, paths[:_MOST_NAMES]))
    more = len(paths) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _shown(around: Surroundings, name: str) -> str:
    return f"{name!r} {around.environment.by_name[name].version}"


def _reinstall(around: Surroundings, name: str) -> str:
    version = around.environment.by_name[name].version
    return f'python -m pip install --force-reinstall --no-deps "{name}=={version}"'


def _stray_code(around: Surroundings) -> Iterator[Fault]:
    for each in around.paths_with_code:
        if each.owner is None and not _is_of_virtualenv(each):
            yield Fault(
                f"{each} runs code at every start of Python, and no distribution has"
                f" installed it: {_short(each.code)}",
                "remove it unless you have put it there",
            )


def _code_of_distributions(around: Surroundings) -> Iterator[Fault]:
    for each in around.paths_with_code:
        if each.owner is not None or _is_of_virtualenv(each):
            whose = "virtualenv" if each.owner is None else str(each.owner)
            yield Fault(
                f"{each} of {whose} runs code at every start of Python: {_short(each.code)}",
                "see whether you expect that of it; uninstalling it removes the file",
            )


def _is_of_virtualenv(each: PathFile) -> bool:
    return each.file.name == "_virtualenv.pth" and each.code == "import _virtualenv"


def _short(code: str) -> str:
    return repr(code if len(code) <= 80 else f"{code[:77]}...")


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

FILE_RULES: tuple[Rule[Surroundings], ...] = (
    Rule("file_changed", _ERROR, "every file has the size and hash of RECORD", _changed),
    Rule("file_missing", _WARNING, "every file that RECORD has a hash of is there", _missing),
    Rule("pth_stray", _ERROR, "no `.pth` file that nobody installed runs code", _stray_code),
    Rule("pth_code", _WARNING, "no `.pth` file runs code at all", _code_of_distributions),
)
