"""From an exception to what the user reads, and to an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import click

from .session import Session

__all__ = (
    "BAD_INPUT",
    "BROKEN_PIPE",
    "FAULT",
    "INTERRUPTED",
    "OK",
    "PACK_FAILED",
    "RUN_FAILED",
    "TERMINATED",
    "BadInputError",
    "report",
)

OK = 0
RUN_FAILED = 1
BAD_INPUT = 2
PACK_FAILED = 3
FAULT = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143


class BadInputError(Exception):
    """A command cannot use what it was given, and says so itself."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def report(session: Session, error: BaseException) -> int:
    """Tell the user what went wrong and return the exit code."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if _is_broken_pipe(error):
        _give_up_stdout(session)
        return BROKEN_PIPE
    if session.debug:
        session.say("".join(traceback.format_exception(error)).rstrip(), "dim")
    if isinstance(error, KeyboardInterrupt | click.Abort):
        session.console.end_line()
        # A terminal has shown the keys as '^C'.
        session.say("\ninterrupted" if session.console.err.isatty() else "interrupted")
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        session.console.say(error.format_message())
        return BAD_INPUT
    code, kind, messages, details = _explain(error)
    for message in messages:
        session.error(message)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        session.console.say(f"try '{error.ctx.command_path} --help'", "dim")
    if session.as_json:
        body: dict[str, object] = {"code": kind, "message": messages[0]}
        if len(messages) > 1:
            body["message"] = f"{len(messages)} problems"
        session.console.json({"error": body | {"details": details}})
    return code


_Explained = tuple[int, str, list[str], list[dict[str, str]]]
"""Exit code, stable name, a line per problem, and the same as JSON."""


def _explain(error: BaseException) -> _Explained:
    if isinstance(error, click.ClickException):
        return BAD_INPUT, "bad_arguments", [_usage(error)], []
    if isinstance(error, BadInputError):
        return BAD_INPUT, error.code, [error.message], []
    # Here, so that help loads no pydantic.
    from comfytavern.errors import ComfyTavernError

    if isinstance(error, ComfyTavernError):
        return _explain_own(error)
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        named = f"{error.filename!r}: " if error.filename else ""
        return RUN_FAILED, "system", [f"{named}{reason}"], []
    lines = str(error).splitlines() or [""]
    message = f"this is a fault of comfytavern ({type(error).__name__}: {lines[0]})"
    return FAULT, "fault", [f"{message}; --debug shows where"], []


def _explain_own(error: BaseException) -> _Explained:
    from comfytavern.errors import (
        ComfyTavernError,
        PackError,
        UnknownPackError,
        UnknownRunError,
        WorkflowError,
    )

    from ..config import ConfigError
    from ..library.workflow_files import FileError

    assert isinstance(error, ComfyTavernError)
    if isinstance(error, WorkflowError):
        details = [finding.to_wire() for finding in error.findings]
        return BAD_INPUT, error.code, [finding.message for finding in error.findings], details
    if isinstance(error, ConfigError):
        details = [{"code": error.code, "message": str(problem)} for problem in error.problems]
        return BAD_INPUT, error.code, [detail["message"] for detail in details], details
    code = RUN_FAILED
    if isinstance(error, UnknownPackError | UnknownRunError | FileError):
        code = BAD_INPUT
    elif isinstance(error, PackError):
        code = PACK_FAILED
    return code, error.code, [str(error)], []


def _usage(error: click.ClickException) -> str:
    """Word click's message as ours: lower case, no full stop."""
    message = " ".join(error.format_message().split())
    message = message.replace(". Did you mean", "; did you mean")
    return message[:1].lower() + message[1:].removesuffix(".")


def _is_broken_pipe(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _give_up_stdout(session: Session) -> None:
    """Point stdout nowhere: the interpreter flushes it at the end and would complain."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # ValueError: a stream without a descriptor, as in tests
        pass
