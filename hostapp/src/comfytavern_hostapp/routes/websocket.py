"""``/ws``: runs handed in, interrupted and followed over one connection.

In come PROMPT_REQUEST, INTERRUPT_REQUEST, BUTTON_CLICK, SUBSCRIBE and UNSUBSCRIBE; out go the
events of the runs that the client follows, notices, and an ERROR for each message that is
refused, with its ``requestId`` if it had one. Who hands a run in follows it; a SUBSCRIBE to
``*`` follows every run.

The connection is closed with one of these codes; who comes back subscribes with the last
``seq`` it has seen, and misses nothing.

| code | why |
|---|---|
| 1001 | the host stops |
| 1009 | a message is larger than ``limits.body`` |
| 4008 | the client has not read for ten seconds although there are events for it |
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, TypeVar

import anyio
import orjson
from anyio.abc import TaskGroup
from pydantic import ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from comfytavern.errors import HostError, NodeFailedError
from comfytavern.events import EventType

from ..runs import Subscriber, notice
from ..service import Service
from ..store import StoreError
from ..wire import Body, PromptBody
from .prompts import IdempotencyKey, asked_for, submit
from .refusals import BadRequestError, NotFoundError, error_body, told

__all__ = ("FELL_BEHIND", "GOING_AWAY", "serve_websocket")

_log = logging.getLogger(__name__)

GOING_AWAY = 1001
FELL_BEHIND = 4008
# Seconds, or at least half of them, that one event may take to be sent. Only a client that has
# stopped reading needs longer: as long as it reads, it may be behind by any number of events.
STALL = 10.0
# Seconds in which a client may still take why it is closed.
FAREWELL = 10.0


_Json = dict[str, Any]  # Any: a JSON value
_Handler = Callable[[_Json, object], Awaitable[None]]
_Model = TypeVar("_Model", bound=Body)


class ButtonFailedError(HostError):
    """The code of a node that listens to a button has raised."""

    code = "button_failed"

    def __init__(self, node_id: str, button: str, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"
        super().__init__(f"button {button!r} of node {node_id!r} raised {reason}")


class _Message(Body):
    model_config = ConfigDict(extra="ignore")

    type: str
    payload: _Json | None = None


class _PromptMessage(PromptBody):
    idempotency_key: IdempotencyKey | None = None


class _RunMessage(Body):
    prompt_id: str


class _Subscribe(Body):
    prompt_id: str
    since: Annotated[int, Field(ge=0)] = 0


class _ButtonClick(Body):
    model_config = ConfigDict(extra="allow")

    node_id: str
    button_name: str
    prompt_id: str | None = None


async def serve_websocket(websocket: WebSocket, service: Service) -> None:
    """Serve one client until it goes, falls behind, or the host stops."""
    await websocket.accept()
    async with anyio.create_task_group() as tasks:
        connection = _Connection(websocket, service, tasks)
        client = connection.client
        service.clients.add(client)
        try:
            tasks.start_soon(connection.receive)
            tasks.start_soon(connection.send)
            await client.stopped.wait()
        finally:
            service.clients.remove(client)
            tasks.cancel_scope.cancel()
    if not connection.is_gone:
        code = FELL_BEHIND if client.fell_behind else GOING_AWAY
        with anyio.move_on_after(FAREWELL), suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(code)


class _Connection:
    def __init__(self, websocket: WebSocket, service: Service, tasks: TaskGroup) -> None:
        self.client = Subscriber()
        self._tasks = tasks
        self._websocket = websocket
        self._service = service
        self.is_gone = False
        self._handlers: Mapping[str, _Handler] = {
            "PROMPT_REQUEST": self._prompt,
            "INTERRUPT_REQUEST": self._interrupt,
            "BUTTON_CLICK": self._press,
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
        }

    async def send(self) -> None:
        """Send what there is for the client, until it is stopped."""
        try:
            while (frames := await self.client.next()) is not None:
                if not await self._send_all(frames.texts):
                    self.client.stop(fell_behind=True)
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: it is closed already
            self.is_gone = True
            self.client.stop()
        except StoreError as exc:
            _log.error("a client is sent away: %s", exc)
            self.client.stop(fell_behind=True)

    async def _send_all(self, texts: Sequence[bytes]) -> bool:
        """Send some messages; return False if the client has stopped taking them."""
        due = 0.0
        with anyio.CancelScope() as sending:
            for text in texts:
                # Not anew for each of them: that would take a good part of what sending takes.
                now = anyio.current_time()
                if due < now + STALL / 2:
                    due = sending.deadline = now + STALL
                await self._websocket.send_text(text.decode())
        return not sending.cancelled_caught

    async def receive(self) -> None:
        """Do what the client asks for, until it is gone."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self.is_gone = True
                self.client.stop()
                return
            text = message.get("text")
            await self._handle(text if text is not None else message.get("bytes") or b"")

    # What comes in -------------------------------------------------------------------

    async def _handle(self, text: str | bytes) -> None:
        kind, request_id = "", None
        try:
            message = _message(text)
            kind, payload = message.type, dict(message.payload or {})
            request_id = payload.pop("requestId", None)
            handler = self._handlers.get(kind)
            if handler is None:
                known = ", ".join(self._handlers)
                raise NotFoundError(f"there is no message {kind!r}; expected one of: {known}")
            await handler(payload, request_id)
        except Exception as exc:
            self._refuse(exc, kind, request_id)

    def _refuse(self, error: Exception, kind: str, request_id: object) -> None:
        code, message, details = told(error)
        body = {**error_body(code, message, details), "requestType": kind}
        if request_id is not None:
            body["requestId"] = request_id
        self.client.notify(notice(EventType.ERROR, body))

    async def _prompt(self, payload: _Json, request_id: object) -> None:
        wanted = _checked(_PromptMessage, payload)
        accepted, _ = await submit(self._service, asked_for(wanted, wanted.idempotency_key))
        self.client.follow(await self._service.feeds.open(accepted.prompt_id))

    async def _interrupt(self, payload: _Json, request_id: object) -> None:
        await self._service.scheduler.interrupt(_checked(_RunMessage, payload).prompt_id)

    async def _subscribe(self, payload: _Json, request_id: object) -> None:
        wanted = _checked(_Subscribe, payload)
        if wanted.prompt_id == "*":
            self._service.clients.follow_all(self.client)
        else:
            feed = await self._service.feeds.open(wanted.prompt_id)
            self.client.follow(feed, wanted.since)

    async def _unsubscribe(self, payload: _Json, request_id: object) -> None:
        wanted = _checked(_RunMessage, payload)
        if wanted.prompt_id == "*":
            self._service.clients.unfollow_all(self.client)
        else:
            self.client.unfollow(wanted.prompt_id)

    async def _press(self, payload: _Json, request_id: object) -> None:
        click = _checked(_ButtonClick, payload)
        # A node's handler may take its time: what else the client says does not wait for it.
        self._tasks.start_soon(self._press_in_background, click, payload, request_id)

    async def _press_in_background(
        self, click: _ButtonClick, payload: _Json, request_id: object
    ) -> None:
        try:
            await self._press_node(click, payload)
        except Exception as exc:
            self._refuse(exc, "BUTTON_CLICK", request_id)

    async def _press_node(self, click: _ButtonClick, payload: _Json) -> None:
        scheduler, runner = self._service.scheduler, self._service.runner
        run_ids = (
            [click.prompt_id]
            if click.prompt_id is not None
            else [
                execution.run_id
                for execution in scheduler.running
                if click.node_id in execution.state.nodes
            ]
        )
        refused = f"no running node {click.node_id!r} listens to a button"
        heard = False
        for run_id in run_ids:
            try:
                await runner.press(run_id, click.node_id, click.button_name, payload)
            except LookupError as exc:
                refused = str(exc.args[0]) if exc.args else refused
            except NodeFailedError as exc:
                raise ButtonFailedError(
                    click.node_id, click.button_name, exc.__cause__ or exc
                ) from exc
            else:
                heard = True
        if not heard:
            raise NotFoundError(refused)


def _message(text: str | bytes) -> _Message:
    """Read a message.

    :raises BadRequestError: it is not JSON, or has another shape
    """
    try:
        return _Message.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError as exc:
        raise BadRequestError("the message", exc) from None
    except ValidationError as exc:
        raise BadRequestError("the message", exc) from None


def _checked(model: type[_Model], payload: _Json) -> _Model:
    """Check a payload.

    :raises BadRequestError: it does not fit; every problem at once
    """
    try:
        return model.model_validate(payload)
    except ValidationError as exc:
        raise BadRequestError("the payload", exc) from None
