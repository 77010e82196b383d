"""How our errors are told over HTTP: one shape, and the status that fits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import ceil

import orjson
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from comfytavern.errors import (
    ComfyTavernError,
    HostError,
    PackError,
    QueueFullError,
    ResourceError,
    UnknownClientScriptError,
    UnknownNodeTypeError,
    UnknownPackError,
    UnknownRunError,
    WorkflowError,
)

from ..library.resources import ResourceExistsError, ResourceTooLargeError
from ..library.workflows import (
    LibraryWriteError,
    UnknownWorkflowError,
    WorkflowConflictError,
    WorkflowExistsError,
    WorkflowNameError,
)
from ..runs import IdempotencyError, SlotsAbandonedError
from ..store import StoreError

__all__ = ("BadRequestError", "NotFoundError", "error_body", "refusal", "refuse_unrouted", "told")

_log = logging.getLogger(__name__)

# Seconds after which a store that is out of order may be tried again.
STORE_RETRY = 5


class BadRequestError(HostError):
    """A request does not have the shape it should; ``details`` holds every problem."""

    code = "bad_request"

    def __init__(self, what: str, error: ValidationError | ValueError) -> None:
        if isinstance(error, ValidationError):
            self.status = 422
            self.details = [_problem(problem) for problem in error.errors()]
            count = len(self.details)
            said = "does not fit" if count > 1 else f"does not fit: {self.details[0]['message']}"
        else:
            self.status = 400
            self.details = []
            said = f"is not JSON: {str(error).lower()}"
        super().__init__(f"{what} {said}")


class NotFoundError(HostError):
    """There is no such thing."""

    code = "not_found"


_STATUS: Mapping[type[BaseException], int] = {
    WorkflowError: 422,
    IdempotencyError: 422,
    WorkflowNameError: 422,
    UnknownRunError: 404,
    UnknownPackError: 404,
    UnknownNodeTypeError: 404,
    UnknownClientScriptError: 404,
    UnknownWorkflowError: 404,
    NotFoundError: 404,
    ResourceError: 404,
    ResourceExistsError: 409,
    ResourceTooLargeError: 413,
    WorkflowConflictError: 412,
    WorkflowExistsError: 409,
    QueueFullError: 503,
    SlotsAbandonedError: 503,
    StoreError: 503,
    LibraryWriteError: 503,
    PackError: 422,
}


def refusal(error: Exception) -> Response:
    """Return the answer that tells an error."""
    if isinstance(error, HTTPException):
        raise error  # ``refuse_unrouted`` tells it
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # to nobody: the client has gone, which is no fault
    status = _status_of(error)
    headers = dict(getattr(error, "headers", {}))
    if status == 503:
        headers["Retry-After"] = str(ceil(getattr(error, "retry_after", STORE_RETRY)))
    return _answer(status, *told(error), headers)


def told(error: Exception) -> tuple[str, str, Sequence[object]]:
    """Return code, message and details of an error, as a client is told them."""
    if not isinstance(error, ComfyTavernError):
        _log.error("a request failed by a fault of the host", exc_info=error)
        return "fault", "a fault of the host; its log says more", ()
    details = getattr(error, "details", ())
    if isinstance(error, WorkflowError):
        details = [finding.to_wire() for finding in error.findings]
    return error.code, str(error).partition("\n")[0], details


def _status_of(error: Exception) -> int:
    if not isinstance(error, ComfyTavernError):
        return 500
    own = getattr(error, "status", None)
    if isinstance(own, int):
        return own
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 400)


def error_body(code: str, message: str, details: Sequence[object] = ()) -> dict[str, object]:
    """Return the one shape of errors, also of ERROR frames."""
    return {"code": code, "message": message, "details": details}


def _answer(
    status: int,
    code: str,
    message: str,
    details: Sequence[object] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    content = orjson.dumps({"error": error_body(code, message, details)})
    return Response(content, status, headers, media_type="application/json")


async def refuse_unrouted(request: Request, error: Exception) -> Response:
    """Tell what Starlette refuses by itself: no such path, or not this method."""
    assert isinstance(error, HTTPException)  # registered for nothing else
    path, method = request.scope["path"], request.method
    if error.status_code == 404:
        return _answer(404, "not_found", f"there is nothing at {path!r}")
    if error.status_code == 405:
        allowed = _methods_at(request)
        message = f"{path!r} does not take {method}; it takes {allowed}"
        return _answer(405, "method_not_allowed", message, headers={"Allow": allowed})
    return _answer(error.status_code, "refused", error.detail.lower(), headers=error.headers)


def _methods_at(request: Request) -> str:
    """Return what the routes of a path take; Starlette names the methods of one of them."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


def _problem(problem: Mapping[str, object]) -> dict[str, str]:
    where = problem["loc"]
    assert isinstance(where, tuple)  # pydantic's own
    path = ".".join(str(part) for part in where)
    text = str(problem["msg"]).removeprefix("Value error, ")
    # pydantic would name the class that it wanted to make.
    text = "expected an object" if problem["type"] == "model_type" else text[:1].lower() + text[1:]
    shown = {"code": "bad_field", "message": f"{path!r}: {text}" if path else text}
    return shown | ({"path": path} if path else {})
