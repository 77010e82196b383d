"""The worker process: does what it is asked to, says so step by step, and may be killed any time.

It starts as ``python -m comfytavern_core_nodes.regexes.worker``, or by a shorter way that leaves
the host's libraries out; neither this module nor what it imports may need them. A request is
answered with ``["step", item, step]`` before each piece of work, ``["done", item, result]`` behind
each item, and ``["failed", item, step, problem]`` for what could not be done.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from time import monotonic
from typing import Any, BinaryIO

from .errors import SYNTAX_CODES, RegexError
from .frames import packed, read_frame
from .limits import MAX_WORKER_BYTES
from .replace import check_length, compiled, first_match, matches, pieces_of, replaced
from .steps import Step, script_template

__all__ = ("answers", "main", "serve")

_RECURSION = 20_000  # the engine compiles groups inside groups by recursion, in Python


def main() -> None:
    """Serve on the standard streams until the host closes them."""
    sys.setrecursionlimit(_RECURSION)
    _limit_memory()
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while True:
        try:
            request = read_frame(incoming)
        except EOFError:
            return
        for answer in answers(request):
            outgoing.write(packed(answer))
            # The host watches the clock from here on.
            if answer[0] == "step":
                outgoing.flush()
        outgoing.flush()


def answers(request: Any) -> Iterator[list[object]]:  # Any: JSON that the host has written
    """Do what a request asks for, and give the answers as they come about."""
    if request["do"] == "replace":
        yield from _replace(request["jobs"], request["seconds"])
    else:
        yield from _match(request["patterns"], request["texts"], request["seconds"])


def _replace(jobs: Any, seconds: float) -> Iterator[list[object]]:  # Any: JSON
    for number, (text, steps) in enumerate(jobs):
        pieces = [text]
        for place, values in enumerate(steps):
            yield ["step", number, place]
            try:
                pieces = _done(Step(*values), "".join(pieces), seconds)
            except RegexError as problem:
                yield ["failed", number, place, _shown(problem)]
                return
        yield ["done", number, pieces]


def _done(step: Step, text: str, seconds: float) -> list[str]:
    check_length(len(text))
    try:
        expression = compiled(step.pattern, step.flags)
    except RegexError as problem:
        if step.style == "script" and problem.code in SYNTAX_CODES:
            return [text]  # as SillyTavern does
        raise
    if step.style == "js":
        return ["".join(replaced(expression, text, step.replacement, seconds))]
    groups = expression.source.groups
    parts = [part for part in script_template(step.replacement) if _exists(part, groups)]
    return pieces_of(text, matches(expression, text, seconds), parts, step.trim)


def _exists(part: str | int, groups: int) -> bool:
    return isinstance(part, str) or part <= groups


def _match(patterns: Any, texts: Any, seconds: float) -> Iterator[list[object]]:  # Any: JSON
    for number, (pattern, flags) in enumerate(patterns):
        yield ["step", number, 0]
        deadline = monotonic() + seconds
        try:
            expression = compiled(pattern, flags)
            places = [first_match(expression, text, deadline - monotonic()) for text in texts]
        except RegexError as problem:
            yield ["failed", number, 0, _shown(problem)]
        else:
            yield ["done", number, places]


def _shown(problem: RegexError) -> list[object]:
    return [problem.code, problem.reason, problem.position]


def _limit_memory() -> None:
    try:
        import resource  # absent on Windows
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or most > MAX_WORKER_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_WORKER_BYTES, most))


if __name__ == "__main__":
    main()
