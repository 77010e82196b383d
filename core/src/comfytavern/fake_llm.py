"""A chat service for tests: it answers what the test wrote, and remembers what it was asked.

It speaks the API of OpenAI's chat completions, which is what ``comfytavern-llm-nodes`` and most
providers speak, and answers at the place where httpx would open a connection. So everything
above that is the real thing: channels, adapters, streams and errors. httpx must be installed;
core itself does without.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import anyio.lowlevel
import httpx

from .errors import ComfyTavernError

__all__ = ("FAKE_BASE_URL", "FakeLlm", "FakeLlmExhaustedError", "FakeRequest")

# Never resolved; any other address is answered as well.
FAKE_BASE_URL = "http://fake-llm.invalid/v1"
MODEL = "fake-model"
DEFAULT_REPLY = "This is a scripted reply."

Json = dict[str, Any]  # Any: JSON


class FakeLlmExhaustedError(ComfyTavernError):
    """More was asked than the test wrote answers for."""

    code = "fake_llm_exhausted"

    def __init__(self, asked: int, scripted: int) -> None:
        self.asked = asked
        self.scripted = scripted
        answers = "1 answer" if scripted == 1 else f"{scripted} answers"
        super().__init__(
            f"the fake LLM was asked {asked} times and has {answers}; add one with"
            " fake_llm.reply(...)"
        )


@dataclass(frozen=True, slots=True)
class FakeRequest:
    """One request as it arrived. ``body`` is its JSON; header names are lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Json

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:  # Any: JSON
        """The messages of a chat request."""
        messages: Sequence[Mapping[str, Any]] = self.body.get("messages", ())  # Any: JSON
        return messages

    @property
    def prompt(self) -> object:
        """The content of the last message."""
        return self.messages[-1].get("content") if self.messages else None


@dataclass(frozen=True, slots=True)
class _Reply:
    """What is answered: pieces of text, or an error with its status."""

    pieces: tuple[str, ...] = (DEFAULT_REPLY,)
    finish_reason: str = "stop"
    usage: Mapping[str, object] | None = None
    tool_calls: Sequence[Mapping[str, object]] = ()
    breaks: bool = False
    status: int = 200
    message: str = ""


class FakeLlm:
    """The service. Without a script every chat gets the same reply.

    ``requests`` holds every request so far, ``http`` is a client that only reaches this
    service, and ``settings`` is a block for ``comfytavern-llm-nodes`` with one channel to it.
    """

    def __init__(self) -> None:
        self.requests: list[FakeRequest] = []
        self._script: deque[_Reply] = deque()
        self._scripted = 0

    @property
    def chats(self) -> list[FakeRequest]:
        """The requests that asked for a chat completion."""
        return [request for request in self.requests if request.url.endswith("/chat/completions")]

    @property
    def settings(self) -> Json:
        """Settings of ``comfytavern-llm-nodes``: one channel, and nothing is sent twice."""
        return {
            "channels": [
                {
                    "label": "fake",
                    "adapter": "openai",
                    "base_url": FAKE_BASE_URL,
                    "models": [MODEL],
                    "capabilities": ["llm", "chat", "embedding"],
                    "retries": {"attempts": 1},
                }
            ]
        }

    @cached_property
    def http(self) -> httpx.AsyncClient:
        """An HTTP client whose every request is answered here."""
        return httpx.AsyncClient(transport=_Transport(self))

    def reply(
        self,
        *pieces: str,
        finish_reason: str = "stop",
        usage: Mapping[str, object] | None = None,
        tool_calls: Sequence[Mapping[str, object]] = (),
        breaks: bool = False,
    ) -> None:
        """Answer the next chat that nothing is written for yet.

        :param pieces: the text; streamed, each piece is one event
        :param tool_calls: as OpenAI words them: ``{id, type, function: {name, arguments}}``
        :param breaks: the connection breaks after the pieces
        """
        self._append(_Reply(pieces, finish_reason, usage, tuple(tool_calls), breaks))

    def fail(self, message: str, *, status: int = 400) -> None:
        """Refuse the next chat that nothing is written for yet, the way providers do."""
        self._append(_Reply(status=status, message=message))

    def _append(self, reply: _Reply) -> None:
        self._script.append(reply)
        self._scripted += 1

    def respond(self, request: httpx.Request) -> httpx.Response:
        """Return the response to a request whose body has been read.

        :raises FakeLlmExhaustedError: the script has no further answer
        """
        body = _json_of(request.content)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(FakeRequest(request.method, str(request.url), headers, body))
        path = request.url.path
        if request.method == "POST" and path.endswith("/chat/completions"):
            return self._chat(body, request)
        if request.method == "POST" and path.endswith("/embeddings"):
            return httpx.Response(200, json=_embeddings(body))
        if request.method == "GET" and path.endswith("/models"):
            return httpx.Response(200, json={"object": "list", "data": [{"id": MODEL}]})
        known = "POST .../chat/completions, POST .../embeddings and GET .../models"
        message = f"the fake LLM does not answer {request.method} {path}; it answers {known}"
        return _refusal(404, message)

    def _chat(self, body: Json, request: httpx.Request) -> httpx.Response:
        if not self._script and self._scripted:
            raise FakeLlmExhaustedError(len(self.chats), self._scripted)
        reply = self._script.popleft() if self._script else _Reply()
        if reply.status != 200:
            return _refusal(reply.status, reply.message)
        model = body.get("model") or MODEL
        if body.get("stream"):
            kind = {"content-type": "text/event-stream"}
            return httpx.Response(200, headers=kind, stream=_Events(reply, model, request))
        if reply.breaks:
            raise httpx.ReadError("the connection broke, as scripted", request=request)
        return httpx.Response(200, json=_whole(reply, model))


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, fake: FakeLlm) -> None:
        self._fake = fake

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        await anyio.lowlevel.checkpoint()
        return self._fake.respond(request)


class _Events(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A reply as server-sent events."""

    def __init__(self, reply: _Reply, model: object, request: httpx.Request) -> None:
        self._reply = reply
        self._model = model
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        reply = self._reply
        for piece in reply.pieces:
            yield self._event({"content": piece})
        if reply.breaks:
            raise httpx.ReadError("the connection broke, as scripted", request=self._request)
        for index, call in enumerate(reply.tool_calls):
            yield self._event({"tool_calls": [{"index": index, **call}]})
        yield self._event({}, reply.finish_reason)
        if reply.usage is not None:
            yield _sse({"model": self._model, "choices": [], "usage": reply.usage})
        yield b"data: [DONE]\n\n"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self:
            await anyio.lowlevel.checkpoint()
            yield event

    def _event(self, delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        kind = "chat.completion.chunk"
        return _sse({"id": "fake", "object": kind, "model": self._model, "choices": [choice]})


def _sse(value: Mapping[str, object]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _whole(reply: _Reply, model: object) -> Json:
    message: Json = {"role": "assistant", "content": "".join(reply.pieces)}
    if reply.tool_calls:
        message["tool_calls"] = list(reply.tool_calls)
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    usage = {} if reply.usage is None else {"usage": dict(reply.usage)}
    return {"id": "fake", "object": "chat.completion", "model": model, "choices": [choice], **usage}


def _embeddings(body: Json) -> Json:
    """Return a vector for each text that depends on the text alone."""
    texts = body.get("input", [])
    listed = texts if isinstance(texts, list) else [texts]
    vectors = [[float(len(str(text))), float(sum(map(ord, str(text))) % 97)] for text in listed]
    data = [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return {"object": "list", "model": body.get("model") or MODEL, "data": data}


def _refusal(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, "type": "scripted"}})


def _json_of(content: bytes) -> Json:
    try:
        body = json.loads(content) if content else {}
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
