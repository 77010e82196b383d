"""Node types that do what a test tells them, for hosts that run whole workflows.

The pack ``test`` holds them: ``test:Say`` and so on, as ``scenarios.building`` places them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from math import inf
from types import SimpleNamespace
from typing import Any, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import GraphRole, NodeDefinition
from comfytavern.hookspecs import hookimpl

from ..scenarios.slots import give, take

__all__ = ("PNG", "STAGE_NODES", "Stage", "stage_pack")

Inputs = Mapping[str, Any]  # Any: a node knows its inputs
Chunks = AsyncGenerator[Chunk | Outputs, None]
_Line = str | Chunk | Exception | None

PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)


class Stage:
    """What a test says to the nodes of its runs, node by node, and hears from them.

    ``pressed`` holds the messages of buttons. ``released`` lets the thread of ``Stubborn``
    go; whoever ends a host sets it, or the thread would be waited for.
    """

    def __init__(self) -> None:
        self.pressed: list[Mapping[str, object]] = []
        self.released = threading.Event()
        self._begun = Counter[str]()
        self._news = anyio.Event()
        self._lines: dict[str, _Lines] = {}
        self._ends: dict[str, anyio.Event] = {}

    def say(self, node_id: str, *lines: str | Chunk) -> None:
        """Let a ``Say`` yield these next."""
        for line in lines:
            self._line(node_id).send_nowait(line)

    def end(self, node_id: str) -> None:
        """Let a ``Say``, ``Wait`` or ``Buttons`` end well."""
        self._line(node_id).send_nowait(None)

    def fail(self, node_id: str, reason: str) -> None:
        """Let a ``Say``, ``Wait`` or ``Buttons`` raise."""
        self._line(node_id).send_nowait(ValueError(reason))

    async def begun(self, node_id: str, times: int = 1) -> None:
        """Wait until nodes of this id have begun that often, in all runs."""
        while self._begun[node_id] < times:
            await self._news.wait()

    def has_begun(self, node_id: str) -> bool:
        """Tell whether a node of this id has begun in any run."""
        return self._begun[node_id] > 0

    async def heard(self, times: int = 1) -> None:
        """Wait until buttons were pressed that often."""
        while len(self.pressed) < times:
            await self._news.wait()

    def note(self, node_id: str) -> None:
        """Hear that a node has begun."""
        self._begun[node_id] += 1
        self._tell()

    def hear(self, message: Mapping[str, object]) -> None:
        """Hear that a button was pressed."""
        self.pressed.append(message)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def next_line(self, node_id: str) -> str | Chunk | None:
        """Return what a node is told next; None is the end."""
        line = await self._lines_of(node_id).receive.receive()
        if isinstance(line, Exception):
            raise line
        return line

    def close(self) -> None:
        """Let go of everything."""
        self.released.set()
        for lines in self._lines.values():
            lines.send.close()
            lines.receive.close()

    def _line(self, node_id: str) -> MemoryObjectSendStream[_Line]:
        return self._lines_of(node_id).send

    def _lines_of(self, node_id: str) -> _Lines:
        if node_id not in self._lines:
            self._lines[node_id] = _Lines()
        return self._lines[node_id]


class _Lines:
    def __init__(self) -> None:
        self.send: MemoryObjectSendStream[_Line]
        self.receive: MemoryObjectReceiveStream[_Line]
        self.send, self.receive = anyio.create_memory_object_stream[_Line](inf)


def stage_pack(stage: Stage) -> object:
    """Return a pack with the node types and the service through which they find the stage."""

    @hookimpl
    def register_nodes() -> list[NodeDefinition]:
        return list(STAGE_NODES)

    @hookimpl
    def register_services() -> dict[str, object]:
        return {"stage": stage}

    return SimpleNamespace(register_nodes=register_nodes, register_services=register_services)


def _stage(context: NodeContext) -> Stage:
    return cast("Stage", context.services["stage"])


async def _say(inputs: Inputs, context: NodeContext) -> Chunks:
    stage, said = _stage(context), []
    stage.note(context.node_id)
    while (line := await stage.next_line(context.node_id)) is not None:
        chunk = line if isinstance(line, Chunk) else Chunk.text(line)
        said.append(str(chunk.content))
        yield chunk
    yield Outputs(text="".join(said))


async def _count(inputs: Inputs, context: NodeContext) -> Chunks:
    for number in range(inputs["n"]):
        yield Chunk.text(f"{number:0{inputs['width']}}")
    yield Outputs(total=inputs["n"])


async def _repeat(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    return {"text": inputs["text"] * inputs["times"]}


async def _fail(inputs: Inputs, context: NodeContext) -> None:
    raise ValueError(inputs["reason"])


async def _wait(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    stage = _stage(context)
    stage.note(context.node_id)
    context.progress(1, 2, "half")
    return {"told": await stage.next_line(context.node_id)}


def _stubborn(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    stage = _stage(context)
    anyio.from_thread.run_sync(stage.note, context.node_id)
    stage.released.wait(10)
    return {}


async def _buttons(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    stage = _stage(context)

    async def note(message: Mapping[str, object]) -> None:
        stage.hear(message)

    def refuse(message: Mapping[str, object]) -> None:
        raise KeyError(f"no {message['buttonName']} today")

    async def hang(message: Mapping[str, object]) -> None:
        stage.hear(message)
        await anyio.sleep_forever()

    context.on_action("note", note)
    context.on_action("refuse", refuse)
    context.on_action("hang", hang)
    stage.note(context.node_id)
    await stage.next_line(context.node_id)
    return {}


async def _draw(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    return {"picture": _Picture(), "data": b"<script>alert(1)</script>", "note": "drawn"}


class _Picture:
    def _repr_png_(self) -> bytes:
        return PNG


async def _values(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    return dict(inputs)


STAGE_NODES = (
    NodeDefinition(type="Say", outputs={"speech": give("S~"), "text": give("S")}, execute=_say),
    NodeDefinition(
        type="Count",
        inputs={"n": take("I", 3), "width": take("I", 1)},
        outputs={"numbers": give("S~"), "total": give("I")},
        execute=_count,
    ),
    NodeDefinition(
        type="Repeat",
        inputs={"text": take("S!"), "times": take("I", 2)},
        outputs={"text": give("S")},
        execute=_repeat,
    ),
    NodeDefinition(
        type="Fail",
        inputs={"reason": take("S", "out of luck"), "after": take("W")},
        outputs={"text": give("S")},
        execute=_fail,
    ),
    NodeDefinition(
        type="Wait", inputs={"after": take("W")}, outputs={"told": give("S")}, execute=_wait
    ),
    NodeDefinition(type="Stubborn", execute=_stubborn),
    NodeDefinition(type="Buttons", execute=_buttons),
    NodeDefinition(
        type="Draw",
        outputs={"picture": give("W"), "data": give("W"), "note": give("S")},
        execute=_draw,
    ),
    NodeDefinition(
        type="Given", dynamic_slots=True, graph_role=GraphRole.GROUP_INPUT, execute=_values
    ),
)
