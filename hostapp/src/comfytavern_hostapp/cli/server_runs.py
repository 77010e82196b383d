"""Runs on a server, over HTTP.

The token goes to this server and nowhere else: no redirect is followed, and no proxy or
``.netrc`` of the environment counts. A broken connection is taken up where it broke, by the
``seq`` of the last event, so that nothing is missed and nothing comes twice.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import orjson
from httpx_sse import EventSource
from pydantic import BaseModel, ValidationError

from comfytavern.errors import UnknownRunError
from comfytavern.runner import Envelope

from ..runs.events import final_status
from ..store import RunFilter
from ..wire import (
    AbandonedWork,
    HistoryPage,
    Interrupted,
    RunEntry,
    StoredRunDetail,
)
from .outage import SHORTEST_PAUSE, Outage
from .runs_source import Token
from .server_errors import (
    NotComfyTavernError,
    ServerError,
    ServerRefusedError,
    ServerSilentError,
    ServerUnreachableError,
    TokenRefusedError,
    unreachable,
)

__all__ = ("ServerRuns", "tls_context")

TIMEOUT = 10.0  # seconds until a server must have answered
# A server shows every 15 seconds that an event stream is alive.
SILENCE = 40.0
# Seconds between two looks whether a deadline is over, at the most.
STEP = 5.0
_PAGE = 500
# What proxies answer while a server starts anew.
_AWAY = frozenset({502, 503, 504})

_Json = dict[str, Any]  # Any: JSON
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(slots=True)
class _Position:
    """How far the log of a run was read."""

    seq: int
    is_final: bool = False
    was_connected: bool = False


class ServerRuns:
    """The runs of a server.

    :param moved: says, given the URL of a server that does not answer, where it is by now
    :raises ServerError: from every method, when the server does not do what it is asked
    """

    is_live = True

    def __init__(
        self,
        url: str,
        token: Token,
        outage: Outage,
        moved: Callable[[str], str] = str,
    ) -> None:
        self.url = url
        self.token = token
        self.outage = outage
        self._moved = moved
        self._client = self._connect()

    @property
    def place(self) -> str:
        """The URL of the server."""
        return self.url

    def page(self, wanted: RunFilter) -> HistoryPage:
        """Return runs, newest first."""
        query = {
            "status": list(wanted.statuses) or None,
            "workflowId": wanted.workflow_id,
            "text": wanted.text,
            "since": wanted.since,
            "before": wanted.before,
            "limit": min(wanted.limit, _PAGE),
        }
        given = {key: value for key, value in query.items() if value is not None}
        found = self._ask("GET", "/api/history", params=given)
        try:
            runs = [_known(RunEntry, run) for run in found.get("runs", ())]
        except (TypeError, AttributeError):
            raise self._stranger("an answer of another shape") from None
        return self._read(HistoryPage, found | {"runs": runs})

    def show(self, run_id: str) -> StoredRunDetail:
        """Return one run with everything but its events.

        :raises UnknownRunError: there is none of this id
        """
        found = self._ask("GET", f"/api/history/{quote(run_id, safe='')}", run_id)
        return self._read(StoredRunDetail, found)

    def interrupt(self, run_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Interrupt runs one by one; give each with what has become of it.

        :raises UnknownRunError: there is none of this id
        """
        for run_id in run_ids:
            answer = self._ask("POST", f"/api/interrupt/{quote(run_id, safe='')}", run_id)
            yield run_id, str(self._read(Interrupted, answer).status)

    def abandoned(self, run_id: str) -> Sequence[AbandonedWork]:
        """Return what goes on although the run has ended."""
        stats = self._ask("GET", "/api/system_stats")
        found = [self._read(AbandonedWork, work) for work in stats.get("abandoned", ())]
        return [work for work in found if work.prompt_id == run_id]

    def follow(self, run_id: str, after: int = 0) -> Generator[Envelope, None, None]:
        """Give the events after one, to the end of the run.

        :raises UnknownRunError: there is none of this id
        """
        position = _Position(after)
        while True:
            failure: ServerError = ServerUnreachableError(self.url, "it ended the connection")
            try:
                yield from self._stream(run_id, position, SILENCE)
            except ServerUnreachableError as exc:
                if not position.was_connected:
                    raise
                failure = exc
            if position.is_final:
                return
            self.outage.wait(failure, f"going on after event {position.seq}")
            self.move()

    def has_ended(self, run_id: str, after: int, seconds: float) -> bool:
        """Wait until a run has ended, so long at the most; return whether it has."""
        position, until = _Position(after), monotonic() + seconds
        while not position.is_final and (left := until - monotonic()) > 0:
            try:
                for _ in self._stream(run_id, position, min(left, STEP)):
                    if monotonic() >= until:
                        break
            except ServerSilentError:
                continue
            if not position.is_final:  # the server lets its clients go: it is stopping
                Event().wait(min(left, SHORTEST_PAUSE))
        return position.is_final

    def move(self) -> None:
        """Go to where the server is by now."""
        url = self._moved(self.url)
        if url != self.url:
            self.url = url
            self._client.close()
            self._client = self._connect()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    # Inside --------------------------------------------------------------------------

    def _connect(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers=self.token.headers,
            timeout=TIMEOUT,
            trust_env=False,
            # Loading certificates takes longer than most requests, and no redirect is followed.
            verify=tls_context() if self.url.startswith("https:") else False,
        )

    def _stream(self, run_id: str, position: _Position, silence: float) -> Iterator[Envelope]:
        """Give the events that come over one connection.

        :raises ServerUnreachableError: there is none, or it broke
        """
        request = self._client.build_request(
            "GET",
            f"/api/prompt/{quote(run_id, safe='')}/events",
            headers={"Accept": "text/event-stream", "Last-Event-ID": str(position.seq)},
            timeout=httpx.Timeout(TIMEOUT, read=silence),
        )
        try:
            response = self._client.send(request, stream=True)
            try:
                self._check(response, run_id)
                position.was_connected = True
                self.outage.mended()
                if response.status_code == 204:
                    position.is_final = True
                    return
                yield from self._events(response, position)
            finally:
                response.close()
        except httpx.TransportError as exc:
            raise unreachable(self.url, exc) from exc

    def _events(self, response: httpx.Response, position: _Position) -> Iterator[Envelope]:
        kind = response.headers.get("content-type", "no type")
        if kind.partition(";")[0] != "text/event-stream":
            raise self._stranger(f"{response.status_code}, {kind}")
        for frame in EventSource(response).iter_sse():
            try:
                event: Envelope = orjson.loads(frame.data)
                seq, status = int(event["seq"]), final_status(event)
            except (ValueError, KeyError, TypeError):
                raise self._stranger("an event of another shape") from None
            if seq > position.seq:
                position.seq = seq
                position.is_final = status is not None
                self.outage.progress()
                yield event
            if position.is_final:
                return

    def _ask(self, method: str, path: str, run_id: str = "", **options: Any) -> _Json:
        """Send a request and return the body of the answer. Any: options of httpx."""
        try:
            response = self._client.request(method, path, **options)
        except httpx.TransportError as exc:
            raise unreachable(self.url, exc) from exc
        self._check(response, run_id)
        body = _json(response)
        if body is None:
            raise self._stranger(_seen(response))
        return body

    def _check(self, response: httpx.Response, run_id: str) -> None:
        """Return if the server does what it was asked."""
        if response.is_success:
            return
        response.read()
        error = (_json(response) or {}).get("error")
        if not (isinstance(error, dict) and isinstance(error.get("message"), str)):
            if response.status_code in _AWAY:
                raise ServerUnreachableError(self.url, _seen(response))
            raise self._stranger(_seen(response))
        code = str(error.get("code"))
        if response.status_code == 401:
            raise TokenRefusedError(self.url, self.token.remedy)
        if code == UnknownRunError.code:
            raise UnknownRunError(run_id)
        raise ServerRefusedError(self.url, code, error["message"])

    def _read(self, model: type[_Model], document: object) -> _Model:
        try:
            return model.model_validate(_known(model, document))
        except (ValidationError, TypeError, AttributeError):
            raise self._stranger("an answer of another shape") from None

    def _stranger(self, seen: str) -> NotComfyTavernError:
        return NotComfyTavernError(self.url, seen)


def tls_context() -> ssl.SSLContext:
    """Return whom to trust: SSL_CERT_FILE, the well-known authorities, those of the system."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def _known(model: type[BaseModel], document: Any) -> _Json:  # Any: JSON
    """Leave out what a later server tells besides."""
    names = {field.alias for field in model.model_fields.values()}
    return {key: value for key, value in document.items() if key in names}


def _json(response: httpx.Response) -> _Json | None:
    try:
        found = orjson.loads(response.content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _seen(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "no type").partition(";")[0]
    return f"it answers {response.status_code}, {kind}"
