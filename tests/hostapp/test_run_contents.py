"""What a run takes along and leaves behind: workflows it refers to, blobs, and no secret."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition
from comfytavern.errors import WorkflowError
from comfytavern_hostapp.runs import run_detail
from comfytavern_hostapp.service import Service

from ..scenarios.building import flow, interface, place
from ..scenarios.slots import give, take
from .service_bench import Bench, Json, events_of, stored_events, stored_frames, submit
from .stage_nodes import PNG

SECRET = 'sk-"tavern"\\keeper 4711/é'
URL = "https://models.example.org/v1/chat"

# --- workflows that groups refer to ---------------------------------------------------------


def shout(times: int) -> Json:
    """Return a workflow for a group: a text in, the same several times out."""
    return flow(
        place("in", "core:GroupInput"),
        place("r", "Repeat", times=times),
        place("out", "core:GroupOutput"),
        "in.text > r.text",
        "r.text > out.loud",
        interfaceInputs=interface(text="STRING!"),
        interfaceOutputs=interface(loud="STRING"),
    )


OUTER = flow(
    place("g", "core:NodeGroup", config={"referencedWorkflowId": "parts/shout"}, text="ho"),
    outputs={"loud": "g.loud"},
)


async def save(service: Service, workflow_id: str, document: Json) -> None:
    """Store a workflow."""
    await to_thread.run_sync(service.workflows.save, workflow_id, document)


async def outputs(service: Service, run_id: str) -> Json:
    """Wait for the end of a run and return its outputs, as they are stored."""
    assert (await events_of(service, run_id))[-1]["payload"]["status"] == "complete"
    report = (await service.store.find(run_id)).report
    assert report is not None
    found: Json = orjson.loads(report)["outputs"]
    return found


@pytest.mark.parametrize("what", ["changed", "deleted"])
async def test_a_waiting_run_keeps_the_workflows_it_refers_to(bench: Bench, what: str) -> None:
    async with bench.service(paused=True) as service:
        await save(service, "parts/shout", shout(3))
        run_id = await submit(service, OUTER)
        if what == "changed":
            await save(service, "parts/shout", shout(1))
        else:
            await to_thread.run_sync(service.workflows.delete, "parts/shout")
    async with bench.service() as service:
        assert await outputs(service, run_id) == {"loud": "hohoho"}


async def test_a_stored_workflow_is_run_as_it_was_when_it_was_asked_for(bench: Bench) -> None:
    async with bench.service(paused=True) as service:
        await save(service, "parts/shout", shout(2))
        await save(service, "main", OUTER)
        run_id = await submit(service, workflow_id="main")
        await save(service, "main", flow(place("x", "Wait")))
        await service.scheduler.pause(paused=False)
        assert await outputs(service, run_id) == {"loud": "hoho"}
        assert (await service.store.find(run_id)).workflow_id == "main"


async def test_a_reference_to_nothing_is_a_finding_and_nothing_is_stored(bench: Bench) -> None:
    async with bench.service() as service:
        with pytest.raises(WorkflowError) as caught:
            await submit(service, OUTER)
        assert [(finding.node, finding.code) for finding in caught.value.findings] == [
            ("g", "unknown_workflow")
        ]
        assert await service.store.size() == (0, 0)


# --- blobs ----------------------------------------------------------------------------------


async def test_bytes_are_kept_beside_the_log_that_refers_to_them(bench: Bench) -> None:
    async with bench.service() as service:
        run_id = await submit(service, flow(place("d", "Draw")))
        [completed] = (await events_of(service, run_id)).of("NODE_COMPLETE")
        described = completed["output"]["picture"]["$blob"]
        digest = sha256(PNG).hexdigest()
        assert described == {"sha256": digest, "size": len(PNG), "mime": "image/png"}
        found = await service.store.blob(digest)
        assert found is not None
        assert (await anyio.Path(found[0]).read_bytes(), found[1]) == (PNG, "image/png")
        again = await submit(service, flow(place("d", "Draw")))
        await events_of(service, again)
        await service.store.delete([run_id])
        assert await service.store.blob(digest) == found  # the other run has it as well
        await service.store.delete([again])
        assert await service.store.blob(digest) is None
        assert not await anyio.Path(found[0]).exists()


# --- secrets --------------------------------------------------------------------------------


def _tell(inputs: Mapping[str, Any], context: NodeContext) -> AsyncGenerator[Chunk | Outputs, None]:
    return _telling(context.secret("key", URL), inputs, context)


async def _telling(
    secret: str, inputs: Mapping[str, Any], context: NodeContext
) -> AsyncGenerator[Chunk | Outputs, None]:
    context.progress(1, 2, f"with {secret}")
    context.log.warning("asking with %s", secret)
    yield Chunk.text(f"<{secret}>")
    yield Chunk.tool_call({secret: [secret, {"nested": secret}]})
    # In pieces that nobody could tell from other text.
    for letter in secret:
        yield Chunk.text(letter)
        await checkpoint()
    if inputs["fail"]:
        raise ValueError(f"refused: {secret}")
    yield Outputs(text=secret, data={"headers": {"Authorization": f"Bearer {secret}"}})


TELL = NodeDefinition(
    type="Tell",
    inputs={"fail": take("B", False)},
    outputs={"said": give("S~"), "text": give("S"), "data": give("O")},
    execute=_tell,
)


def everything_written(data_dir: Path) -> bytes:
    """Return what is in all files of a data directory."""
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    assert {"runs.sqlite3", "runs.sqlite3-wal"} <= {path.name for path in files}
    return b"\0".join(path.read_bytes() for path in files)


def forms(secret: str) -> list[bytes]:
    """Return how a secret would look, plain and inside JSON."""
    texts = (secret, orjson.dumps(secret).decode()[1:-1], ascii(secret)[1:-1])
    return [text.encode() for text in texts]


def configured(monkeypatch: pytest.MonkeyPatch, secret: str) -> Json:
    """Return the configuration of a host that has a secret."""
    monkeypatch.setenv("BENCH_KEY", secret)
    entry = {"value": "env:BENCH_KEY", "base_urls": ["https://models.example.org"]}
    return {"secrets": {"key": entry}}


@pytest.mark.parametrize("fail", [False, True])
async def test_no_secret_that_a_node_was_given_is_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fail: bool
) -> None:
    bench.nodes.append(TELL)
    document = flow(
        place("t", "bench:Tell", fail=fail),
        place("w", "Wait"),
        outputs={"said": "t.said", "text": "t.text"},
    )
    async with bench.service(**configured(monkeypatch, SECRET)) as service:
        run_id = await submit(service, document)
        execution = service.scheduler.execution(run_id)
        while execution is None or execution.state.nodes.get("t", {}).get("status") not in (
            "complete",
            "error",
        ):
            await anyio.wait_all_tasks_blocked()
            execution = service.scheduler.execution(run_id)
        shown = run_detail(await service.store.find(run_id), service.scheduler)
        bench.stage.end("w")
        events = await events_of(service, run_id)
        written = await to_thread.run_sync(everything_written, bench.data_dir)
        assert await stored_events(service.store, run_id) == events
        detail = run_detail(await service.store.find(run_id), service.scheduler)
    for form in forms(SECRET):
        assert form not in written
        assert form not in shown.model_dump_json().encode()
        assert form not in detail.model_dump_json().encode()
    told = {payload["nodeId"]: payload["text"] for payload in events.of("NODE_PROGRESS")}
    assert told["t"] == "with <secret>"
    assert events.of("NODE_YIELD")[0]["yieldedContent"]["content"] == "<<secret>>"
    assert events.of("NODE_YIELD")[1]["yieldedContent"]["content"] == {
        "<secret>": ["<secret>", {"nested": "<secret>"}]
    }
    assert detail.outputs["said"] == "<<secret>><secret>"


@pytest.mark.parametrize("secret", ["4711", "true", "seq1", "nodeId", "payload", "promptId"])
async def test_a_secret_that_looks_like_the_log_itself_does_not_break_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    async def echo(inputs: object, context: NodeContext) -> dict[str, object]:
        context.secret("key", URL)
        return {"a": secret, "b": 4711, "c": True, "d": [47110, 0.4711], secret: {secret: 1}}

    bench.nodes.append(NodeDefinition(type="Echo", dynamic_slots=True, execute=echo))
    async with bench.service(**configured(monkeypatch, secret)) as service:
        run_id = await submit(service, flow(place("e", "bench:Echo")))
        events = await events_of(service, run_id)
        frames = await stored_frames(service.store, run_id)
        assert [orjson.loads(frame) for frame in frames] == events
    [completed] = events.of("NODE_COMPLETE")
    output = completed["output"]
    assert output["a"] == "<secret>"
    assert output["<secret>"] == {"<secret>": 1}
    assert (output["b"] == "<secret>") is (secret == "4711")
    assert (output["c"], output["d"]) == (True, [47110, 0.4711])
    assert completed["nodeId"] == "e"
    assert all(event["payload"]["promptId"] == run_id for event in events)
