"""``/api/openapi.json``: the API described from its endpoints and their models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ..wire import ErrorBody
from .endpoint import Answer, Endpoint

__all__ = ("describe",)

_Json = dict[str, Any]  # Any: JSON
_TEMPLATE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"{(\w+)(:path)?}")
_REFUSALS = {
    400: "the request cannot be read",
    401: "a token is needed: Authorization: Bearer, or the cookie of /api/login",
    403: "the request comes from another site, or the token is wrong",
    404: "there is no such thing",
    405: "the path does not take this method",
    409: "there is one of this name already",
    412: "it has changed meanwhile",
    413: "the body is larger than limits.body",
    415: "the body has another type than the one expected",
    416: "the range lies outside the file",
    421: "the server does not answer to this host name",
    422: "what was sent does not fit; the details say where",
    500: "a fault of the host",
    503: "not now; Retry-After says when to try again",
}
# Every route may refuse so, before it is even asked.
_ALWAYS = (400, 401, 403, 404, 405, 421)
_WITH_BODY = (413, 415)


def describe(endpoints: Iterable[Endpoint], version: str, root_path: str) -> _Json:
    """Return the OpenAPI 3.1 document of some endpoints."""
    listed = list(endpoints)
    schemas, definitions = _schemas(listed)
    paths: _Json = {}
    for endpoint in listed:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        operation = _operation(endpoint, schemas, definitions)
        paths.setdefault(path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "ComfyTavern", "version": version},
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "comfytavern_login"},
            },
        },
        "security": [{}, {"token": []}, {"cookie": []}],
    }


_Key = tuple[type[BaseModel], str]


def _schemas(endpoints: list[Endpoint]) -> tuple[dict[_Key, _Json], _Json]:
    """Return the schema of each model, for what is taken in and for what is given."""
    wanted: dict[_Key, None] = {(ErrorBody, "serialization"): None}
    for endpoint in endpoints:
        for model in (endpoint.body, endpoint.query):
            if model is not None:
                wanted[model, "validation"] = None
        for answer in endpoint.answers.values():
            if answer.model is not None:
                wanted[answer.model, "serialization"] = None
    by_model, document = models_json_schema(
        list(wanted),  # type: ignore[arg-type]  # the modes are literals
        by_alias=True,
        ref_template=_TEMPLATE,
    )
    return dict(by_model), document.get("$defs", {})  # type: ignore[arg-type]  # as above


def _operation(endpoint: Endpoint, schemas: dict[_Key, _Json], definitions: _Json) -> _Json:
    operation: _Json = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint, schemas, definitions),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        schema = schemas[endpoint.body, "validation"]
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    elif endpoint.upload is not None:
        operation["requestBody"] = {"required": True, "content": endpoint.upload}
    return operation


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"\w+", endpoint.path.removeprefix("/api").replace(":path", ""))
    return "_".join((endpoint.method.lower(), *words)) or endpoint.method.lower()


def _parameters(endpoint: Endpoint, schemas: dict[_Key, _Json], definitions: _Json) -> list[_Json]:
    found: list[_Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, _ in _PARAMETER.findall(endpoint.path)
    ]
    if endpoint.query is not None:
        reference = schemas[endpoint.query, "validation"]["$ref"].rpartition("/")[2]
        schema = definitions[reference]
        for name, described in schema.get("properties", {}).items():
            required = name in schema.get("required", ())
            found.append({"name": name, "in": "query", "required": required, "schema": described})
    for name, why in endpoint.headers.items():
        schema = {"type": "string", "pattern": "^[!-~]{1,200}$"}
        found.append({"name": name, "in": "header", "description": why, "schema": schema})
    return found


def _responses(endpoint: Endpoint, schemas: dict[_Key, _Json]) -> _Json:
    responses: _Json = {
        str(status): _answer(answer, schemas) for status, answer in endpoint.answers.items()
    }
    sends = endpoint.body is not None or endpoint.upload is not None
    with_body = _WITH_BODY if sends or endpoint.method != "GET" else ()
    refusal = {"application/json": {"schema": schemas[ErrorBody, "serialization"]}}
    for status in sorted({*_ALWAYS, *with_body, *endpoint.refusals}):
        if str(status) not in responses:
            described = {"description": _REFUSALS[status], "content": refusal}
            if status == 503:
                described["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
            responses[str(status)] = described
    return responses


def _answer(answer: Answer, schemas: dict[_Key, _Json]) -> _Json:
    described: _Json = {"description": answer.description}
    if answer.model is not None:
        schema = schemas[answer.model, "serialization"]
        described["content"] = {answer.media_type: {"schema": schema}}
    elif answer.media_type != "application/json":
        # No schema: OpenAPI 3.1 has none for bytes, nor for events that come one by one.
        described["content"] = {answer.media_type: {}}
    return described
