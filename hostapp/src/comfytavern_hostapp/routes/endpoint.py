"""One declaration per route: what it takes, what it answers, who handles it.

The Starlette route and the entry in ``/api/openapi.json`` both come from it, so that they
cannot disagree. Handlers get everything checked, and raise our errors; how those are told
is in ``refusals``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .refusals import BadRequestError, refusal

if TYPE_CHECKING:
    from ..service import Service

__all__ = ("Answer", "Call", "Endpoint", "as_json")

Q = TypeVar("Q")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One request, checked. ``query`` and ``body`` are of the endpoint's models, or None."""

    service: Service
    request: Request
    query: Q
    body: B

    def path(self, name: str) -> str:
        """Return what stands in the path in place of ``{name}``."""
        return str(self.request.path_params[name])


@dataclass(frozen=True, slots=True)
class Answer:
    """One possible answer that is no refusal."""

    description: str
    model: type[BaseModel] | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route of the API.

    :param path: as Starlette reads it; ``{name:path}`` may hold slashes
    :param refusals: the statuses with which it may refuse, besides those that all have
    :param headers: names of request headers it reads, with what they are for
    :param upload: in place of a JSON body, the media types it takes, as OpenAPI has them
    """

    method: str
    path: str
    handle: Callable[[Call[Any, Any]], Awaitable[Response]]  # Any: each has its own models
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    refusals: tuple[int, ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: Mapping[str, Any] | None = None  # Any: JSON

    def route(self, service: Service) -> Route:
        """Return the route that serves this endpoint."""

        async def serve(request: Request) -> Response:
            try:
                query = _query(self.query, request)
                body = await _body(self.body, request)
                return await self.handle(Call(service, request, query, body))
            except Exception as exc:
                return refusal(exc)

        return Route(self.path, serve, methods=[self.method], name=f"{self.method} {self.path}")


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with a JSON body: a model, or JSON values."""
    if isinstance(value, BaseModel):
        content = value.model_dump_json(by_alias=True, exclude_none=True).encode()
    else:
        content = orjson.dumps(value)
    return Response(content, status, headers, media_type="application/json")


def _query(model: type[BaseModel] | None, request: Request) -> BaseModel | None:
    """Check the query string; a name that is given several times is a list.

    :raises BadRequestError: every problem at once
    """
    if model is None:
        return None
    lists = {
        field.alias or name
        for name, field in model.model_fields.items()
        if getattr(field.annotation, "__origin__", None) is tuple
    }
    given = request.query_params
    values: dict[str, object] = {
        key: given.getlist(key) if key in lists else given[key] for key in given
    }
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise BadRequestError("the query", exc) from None


async def _body(model: type[BaseModel] | None, request: Request) -> BaseModel | None:
    """Check the body.

    :raises BadRequestError: it is not JSON, or does not fit, with every problem at once
    """
    if model is None:
        return None
    text = await request.body()
    try:
        return model.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError as exc:
        raise BadRequestError("the body", cast("ValueError", exc)) from None
    except ValidationError as exc:
        raise BadRequestError("the body", exc) from None
