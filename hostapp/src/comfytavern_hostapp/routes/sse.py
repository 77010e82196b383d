"""``/api/prompt/{id}/events``: the log of a run as server-sent events.

The ``id`` of each event is its ``seq``. A browser that reconnects sends it back as
``Last-Event-ID`` and goes on there; when the run has ended and all of it was sent, it is told
with 204 not to come back. However slowly a client reads, it misses nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import anyio
from starlette.responses import Response, StreamingResponse

from ..runs import Frames, RunFeed, Subscriber
from ..service import Service
from ..store import StoreError
from ..wire import SinceQuery
from .endpoint import Answer, Call, Endpoint

__all__ = ("ENDPOINTS",)

_log = logging.getLogger(__name__)

# Seconds without events until a comment shows that the connection is alive.
HEARTBEAT = 15.0
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def _events(call: Call[SinceQuery, None]) -> Response:
    feed = await call.service.feeds.open(call.path("prompt_id"))
    since = call.query.since
    last = call.request.headers.get("last-event-id", "")
    if since is None:
        since = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else 0
    if feed.is_final and since >= feed.last_seq:
        return Response(status_code=204)
    body = _stream(call.service, feed, since)
    return StreamingResponse(body, media_type="text/event-stream", headers=_HEADERS)


async def _stream(service: Service, feed: RunFeed, since: int) -> AsyncIterator[bytes]:
    client = Subscriber()
    service.clients.add(client)
    try:
        client.follow(feed, since)
        due = anyio.current_time() + HEARTBEAT
        while not client.stopped.is_set():
            frames: Frames | None = None
            with anyio.CancelScope(deadline=due):
                frames = await client.next()
            text = _events_of(frames)
            # Notices, which are not for this client, do not show that it is alive either.
            if not text and anyio.current_time() >= due:
                text = b": alive\n\n"
            if text:
                yield text
                due = anyio.current_time() + HEARTBEAT
            if frames is not None and frames.ends:
                return
    except StoreError as exc:
        _log.error("a client is sent away: %s", exc)
    finally:
        service.clients.remove(client)


def _events_of(frames: Frames | None) -> bytes:
    if frames is None or not frames.first:
        return b""
    numbered = enumerate(frames.texts, frames.first)
    return b"".join(b"id: %d\ndata: %b\n\n" % (seq, text) for seq, text in numbered)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/prompt/{prompt_id}/events",
        _events,
        "Follow a run: what was so far, then what comes",
        "runs",
        {
            200: Answer("the events, each with its seq as id", None, "text/event-stream"),
            204: Answer("the run has ended and everything was seen"),
        },
        refusals=(404, 422, 503),
        query=SinceQuery,
        headers={"Last-Event-ID": "the last seq that was seen; the query 'since' is stronger"},
    ),
)
