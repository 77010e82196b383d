"""The kit for pack authors: run one node or a whole graph, without a server or a network.

```python
from comfytavern.testing import run_node


async def test_shout() -> None:
    result = await run_node(shout, text="hi", times=2)
    assert result.outputs == {"loud": "HI!!"}
```
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import anyio.to_thread

from ._test_bench import NODE, borrowed, content_of, distribution_of, feed
from .chunks import Chunk
from .definitions import NodeDefinition
from .engine import EngineLimits
from .errors import ComfyTavernError, NodeFailedError, ResourceError
from .events import EventType, Status
from .hookspecs import hookimpl
from .host import PackHost
from .pack_records import DEFAULT_ALIASES, PackChoice
from .plan import PlanNode
from .recorder import EventRecorder
from .runner import Envelope
from .sinks import EventSink, merge_sinks
from .workflow import Workflow, parse_workflow

__all__ = (
    "EventLog",
    "GraphResult",
    "InputMutatedError",
    "MemoryResources",
    "NodeResult",
    "pack_host",
    "run_graph",
    "run_node",
)


class InputMutatedError(ComfyTavernError):
    """A node changed an input that other nodes share with it."""

    code = "input_mutated"

    def __init__(self, slot: str) -> None:
        self.slot = slot
        super().__init__(
            f"the node changed its input {slot!r}; inputs are shared, so copy it first"
        )


class MemoryResources:
    """Resources in memory, by name."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)

    async def read(self, name: str, *, limit: int | None = None) -> bytes:
        """Return the bytes of a resource.

        :raises ResourceError: there is none of this name, or it is larger than the limit
        """
        data = self._files.get(name)
        if data is None:
            raise ResourceError(name, f"not found; there are: {', '.join(self._files) or 'none'}")
        if limit is not None and len(data) > limit:
            raise ResourceError(name, f"it has {len(data)} bytes, more than {limit}")
        return data


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What one node brought. ``progress`` holds (value, maximum, text)."""

    outputs: Mapping[str, object]
    chunks: Sequence[Chunk]
    progress: Sequence[tuple[float, float, str | None]]
    status: Status

    @property
    def text(self) -> str:
        """The text chunks joined."""
        return "".join(str(c.content) for c in self.chunks if c.type == "text_chunk")


class EventLog(list[Envelope]):
    """The events of one run, in order, with their ``seq``."""

    def of(self, *types: str) -> list[dict[str, Any]]:  # Any: JSON
        """Return the payloads of the events of these types."""
        return [event["payload"] for event in self if event["type"] in types]

    def of_node(self, node_id: str) -> list[Envelope]:
        """Return the events of one node."""
        keys = ("nodeId", "sourceNodeId")
        return [e for e in self if node_id in (e["payload"].get(key) for key in keys)]

    def text(self, key: str) -> str:
        """Return the text that a stream output of the workflow brought."""
        payloads = self.of(EventType.WORKFLOW_INTERFACE_YIELD)
        contents = [p["yieldedContent"] for p in payloads if p["interfaceOutputKey"] == key]
        return "".join(str(c["content"]) for c in contents if c["type"] == "text_chunk")


@dataclass(frozen=True, slots=True)
class GraphResult:
    """How a graph ended. ``outputs`` are the workflow's own; a stream as its joined text."""

    status: Status
    outputs: Mapping[str, object]
    states: Mapping[str, Status]
    node_outputs: Mapping[str, Mapping[str, object]]
    events: EventLog
    error: NodeFailedError | None


@dataclass(slots=True)
class _Watch:
    """Hears what a run does, as Python objects."""

    outputs: dict[str, Mapping[str, object]] = field(default_factory=dict)
    chunks: list[tuple[str, Chunk]] = field(default_factory=list)
    progress: list[tuple[float, float, str | None]] = field(default_factory=list)

    @property
    def sink(self) -> EventSink:
        """What the engine is given."""
        return EventSink(
            node_completed=self._completed, stream=self._stream, node_progress=self._progress
        )

    def _completed(self, node: PlanNode, outputs: Mapping[str, object], seconds: float) -> None:
        self.outputs[node.id] = dict(outputs)

    def _stream(self, node: PlanNode) -> Callable[[Chunk], None]:
        return lambda chunk: self.chunks.append((node.id, chunk))

    def _progress(self, node: PlanNode, value: float, maximum: float, text: str | None) -> None:
        self.progress.append((value, maximum, text))


@asynccontextmanager
async def pack_host(
    *packs: object,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    services: Mapping[str, object] | None = None,
    resources: Mapping[str, bytes] | None = None,
    limits: EngineLimits | None = None,
    aliases: Mapping[str, tuple[str, ...]] | None = None,
    http: object = None,
) -> AsyncIterator[PackHost]:
    """Run a host that looks for no installed packs and has only those given.

    A pack is a module or object with hookimpls, registered under its module name as a
    distribution; or ``NodeDefinition``s, which together become the pack ``test``.

    :param settings: blocks of settings by distribution
    :param services: services beside those of the packs
    :param resources: files by name
    :param http: what nodes find as ``context.http``; without it they have none
    :raises PackError: a pack cannot be registered
    """
    choice = PackChoice(settings=settings or {}, aliases=aliases or DEFAULT_ALIASES)
    files = MemoryResources(resources or {})
    http_of = None if http is None else lambda pack: http
    host = PackHost(choice, found=(), resources=files, limits=limits, http_of=http_of)
    definitions = [pack for pack in packs if isinstance(pack, NodeDefinition)]
    extra = _in_memory(definitions, services or {})
    if definitions or services:
        host.packs.add(extra, distribution="test", finish=False)
    for pack in packs:
        if not isinstance(pack, NodeDefinition):
            host.packs.add(pack, distribution=distribution_of(pack), finish=False)
    host.packs.finish()
    async with host:
        yield host


def _in_memory(definitions: list[NodeDefinition], services: Mapping[str, object]) -> object:
    @hookimpl
    def register_nodes() -> Iterable[NodeDefinition]:
        return definitions

    @hookimpl
    def register_services() -> Mapping[str, object]:
        return services

    return SimpleNamespace(register_nodes=register_nodes, register_services=register_services)


async def run_graph(
    workflow: Workflow | Mapping[str, object],
    *packs: object,
    inputs: Mapping[str, object] | None = None,
    workflows: Mapping[str, Mapping[str, object]] | None = None,
    user_id: str | None = None,
    run_id: str | None = None,
    **host_options: Any,  # those of ``pack_host``
) -> GraphResult:
    """Run a workflow with the given packs and return everything that it did.

    :param inputs: the workflow's inputs by name
    :param workflows: the workflows that groups refer to, by id
    :raises WorkflowError: the workflow or its inputs do not fit
    """

    def resolve(workflow_id: str) -> Workflow | None:
        document = (workflows or {}).get(workflow_id)
        return None if document is None else parse_workflow(document, source=workflow_id)

    async with pack_host(*packs, **host_options) as host:
        plan = await host.compile(workflow, resolve)
        recorder, watch = EventRecorder(run_id or "test-run"), _Watch()
        sink = merge_sinks([recorder.sink, watch.sink])
        run = host.start(plan, inputs=inputs, run_id=recorder.run_id, sink=sink, user_id=user_id)
        result = await run.wait()
    events = EventLog(recorder.take())
    for number, event in enumerate(events, 1):
        event["seq"] = number
    streams = {o.key: events.text(o.key) for o in plan.outputs if o.is_stream}
    return GraphResult(
        status=result.status,
        outputs={**result.outputs, **streams},
        states=result.states,
        node_outputs=watch.outputs,
        events=events,
        error=result.error,
    )


async def run_node(
    definition: NodeDefinition,
    inputs: Mapping[str, object] | None = None,
    /,
    *,
    config: Mapping[str, object] | None = None,
    settings: object = None,
    services: Mapping[str, object] | None = None,
    resources: Mapping[str, bytes] | None = None,
    user_id: str | None = None,
    limits: EngineLimits | None = None,
    http: object = None,
    **more_inputs: object,
) -> NodeResult:
    """Run one node the way a workflow would, and return what it brought.

    A stream input is given as a list of text and chunks, a multi input as a list. That
    the node leaves its inputs as they are is checked.

    :param inputs: inputs by name, for names that are no keyword
    :raises NodeFailedError: the node failed
    :raises InputMutatedError: the node changed an input
    :raises WorkflowError: an input is missing or not declared
    """
    given = {**(inputs or {}), **more_inputs}
    watch, before = _Watch(), {name: content_of(value) for name, value in given.items()}
    nodes, edges, feeders = feed(definition, given)
    placed = {
        "id": NODE,
        "fullType": f"test:{definition.type}",
        "configValues": dict(config or {}),
    }
    workflow = {"nodes": [placed, *nodes], "edges": edges}
    async with pack_host(
        await anyio.to_thread.run_sync(borrowed, definition),
        *feeders,
        services=services,
        resources=resources,
        limits=limits,
        http=http,
    ) as host:
        plan = await host.compile(workflow)
        facilities = replace(host.facilities(), settings_of=lambda pack: settings)
        run = host.engine.start(plan, sink=watch.sink, user_id=user_id, facilities=facilities)
        result = await run.wait()
    if result.error is not None:
        raise result.error
    for name, content in before.items():
        if content_of(given[name]) != content:
            raise InputMutatedError(name)
    chunks = [chunk for node_id, chunk in watch.chunks if node_id == NODE]
    outputs = watch.outputs.get(NODE, {})
    return NodeResult(outputs, chunks, watch.progress, result.states[NODE])
