"""What is wrong with a configuration, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfytavern.errors import HostError

from .origins import Origin

MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the message, and the place where somebody wrote it.

    ``key`` is the dotted key; it is None when the text cannot be read as YAML at all,
    and the column is shown then, because nothing else says where to look.
    """

    message: str
    origin: Origin | None = None
    key: str | None = None

    def __str__(self) -> str:
        if self.origin is None or self.origin.kind == "default":
            return self.message
        column = f":{self.origin.column}" if self.key is None and self.origin.column else ""
        return f"{self.origin.place}{column}: {self.message}"


class ConfigError(HostError):
    """The configuration cannot be used. ``problems`` holds every reason, in file order."""

    code = "config_invalid"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_file_order))
        lines = [str(problem) for problem in self.problems[:MAX_SHOWN]]
        count = len(self.problems)
        if count > MAX_SHOWN:
            lines.append(f"and {count - MAX_SHOWN} more")
        head = f"the configuration has {count} problems"
        super().__init__(lines[0] if count == 1 else "\n  ".join([head, *lines]))


def _file_order(problem: Problem) -> tuple[bool, int, int]:
    origin = problem.origin
    if origin is None or origin.kind != "file":
        return (True, 0, 0)
    return (False, origin.line, origin.column)


class SecretUnresolvedError(HostError):
    """A reference to a secret leads nowhere. ``reference`` is its text, never the value."""

    code = "secret_unresolved"

    def __init__(self, reference: str, reason: str) -> None:
        self.reference = reference
        self.reason = reason
        super().__init__(f"secret reference {reference!r} cannot be resolved: {reason}")
