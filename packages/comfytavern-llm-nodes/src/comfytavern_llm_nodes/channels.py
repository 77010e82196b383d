"""Channels: each a way to reach models, as the operator writes it.

The models hide their input in errors, so that a key typed by mistake is not printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails

from comfytavern.types import describe_value

from .credentials import RequestHeaders, SecretField, SecretReference

__all__ = ("Channel", "Retries", "SettingsBlock", "Timeouts", "base_url")

Options = TypeVar("Options", bound=BaseModel)

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECRET_HEADER = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)
_REFERENCE_PREFIXES = ("env:", "file:")


class SettingsBlock(BaseModel):
    """A part of the settings: frozen, and silent about what was written in it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )


class Timeouts(SettingsBlock):
    """How long a request may take, in seconds, step by step."""

    connect: float = Field(10.0, gt=0, description="until the server accepts the connection")
    first_token: float = Field(300.0, gt=0, description="until a stream brings its first event")
    between_tokens: float = Field(60.0, gt=0, description="between two events of a stream")
    whole_reply: float = Field(600.0, gt=0, description="for a reply that is not streamed")


class Retries(SettingsBlock):
    """When a request that failed is sent again; never once a part of the reply has come."""

    attempts: int = Field(3, ge=1, le=10, description="how often it is sent at most")
    wait: float = Field(0.5, gt=0, description="seconds before the second time, then doubled")
    longest_wait: float = Field(
        30.0, gt=0, description="no wait is longer; a server that asks for more ends the request"
    )


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Channel(SettingsBlock):
    """One way to reach models: where, how, with which key, and what it is good for."""

    label: str = Field(min_length=1, description="the channel's name in responses and errors")
    adapter: str = Field("openai", min_length=1, description="how to talk to the server")
    base_url: str | None = Field(None, description="such as http://127.0.0.1:11434/v1")
    api_key: SecretField | None = Field(None, description="env:NAME or file:PATH, never the key")
    models: Names = Field((), description="the models it serves; none listed means any")
    capabilities: Names = Field(("llm", "chat"), description="what nodes may require of it")
    headers: dict[str, str | SecretField] = Field(
        default_factory=dict, description="further headers; secret ones as env:NAME or file:PATH"
    )
    timeouts: Timeouts = Field(default_factory=Timeouts)
    retries: Retries = Field(default_factory=Retries)
    max_concurrent: int | None = Field(None, ge=1, description="requests at the same time")
    disabled: bool = Field(False, description="keep the channel, but send nothing to it")
    options: dict[str, object] = Field(
        default_factory=dict, description="what the adapter understands besides"
    )

    @field_validator("api_key", mode="before")
    @classmethod
    def _key_is_a_reference(cls, value: object) -> object:
        if isinstance(value, str) and not value.startswith(_REFERENCE_PREFIXES):
            raise ValueError(
                "this is a plain key; keep it elsewhere and write env:NAME or file:PATH"
            )
        return value

    @field_validator("headers", mode="before")
    @classmethod
    def _headers_are_plain_or_references(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: _header(str(name), item) for name, item in value.items()}

    @field_validator("base_url")
    @classmethod
    def _url_is_plain(cls, value: str | None) -> str | None:
        return None if value is None else base_url(value)

    async def request_headers(self) -> RequestHeaders:
        """Return the headers of one request, secrets filled in: send them, do not keep them.

        :raises SecretError: a reference cannot be read
        """
        return await RequestHeaders.resolve(self.api_key, self.headers.items())

    def read_options(self, model: type[Options]) -> Options:
        """Return ``options`` checked by an adapter's own model.

        :raises ValueError: they do not fit it; says why in one line, without their values
        """
        try:
            return model.model_validate(self.options)
        except ValidationError as exc:
            problems = exc.errors(include_input=False, include_url=False)
            raise ValueError("; ".join(map(_option_problem, problems))) from None

    def secret_problem(self) -> str | None:
        """Return why a reference cannot be read, or None. Blocks: call it while loading."""
        references = (self.api_key, *self.headers.values())
        problems = (ref.problem() for ref in references if isinstance(ref, SecretReference))
        return next((problem for problem in problems if problem), None)


def _option_problem(problem: ErrorDetails) -> str:
    where = ".".join(map(str, ("options", *problem["loc"])))
    return f"{where}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _header(name: str, value: object) -> object:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a header")
    if name.lower() == "authorization":
        raise ValueError("the header 'Authorization' is made from api_key")
    if not isinstance(value, str):
        raise ValueError(f"header {name!r} holds {describe_value(value)}; expected a text")
    if value.startswith(_REFERENCE_PREFIXES):
        return SecretReference.parse(value)
    if _SECRET_HEADER.search(name):
        raise ValueError(f"header {name!r} holds a plain secret; write env:NAME or file:PATH")
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"header {name!r} holds characters that a header cannot carry")
    return value


def base_url(value: str) -> str:
    """Return a base URL without a slash at its end, ``/v1`` appended to a bare host.

    :raises ValueError: it is not http(s), or carries a name, a password, a query
    """
    value = value.strip()
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("expected an address such as http://127.0.0.1:11434/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address holds no name and password; use api_key or headers")
    if parts.query or parts.fragment:
        raise ValueError("an address ends with its path: no '?' and no '#'")
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"
