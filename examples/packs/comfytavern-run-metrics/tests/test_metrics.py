"""The pack in a host: what it counts of a run in which everything happens, and what it writes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from comfytavern_run_metrics import MetricsPack, MetricsSettings
from comfytavern_run_metrics.exposition import Counter, Histogram
from pydantic import ValidationError

from comfytavern import NodeContext, Output, OutputDefinition, Outputs, node
from comfytavern.testing import pack_host

NAME = "comfytavern-run-metrics"
pytestmark = pytest.mark.anyio


@node(outputs={"text": OutputDefinition()})
async def talk(context: NodeContext) -> AsyncIterator[Annotated[str | Outputs, Output("words")]]:
    context.progress(1, 2)
    yield "a"
    yield "b"
    yield Outputs(text="ab")


@node
async def fail(text: str) -> str:
    raise ValueError("no luck")


@node
async def echo(text: str = "") -> str:
    return text


@node
async def wait() -> None:
    await anyio.sleep_forever()


def place(node_id: str, node_type: str, **more: object) -> dict[str, object]:
    return {"id": node_id, "fullType": f"test:{node_type}", **more}


def edge(source: str, slot: str, target: str) -> dict[str, str]:
    ends = {"sourceNodeId": source, "sourceHandle": slot}
    return ends | {"targetNodeId": target, "targetHandle": "text"}


WORKFLOW: dict[str, Any] = {  # Any: JSON
    "nodes": [
        place("talk", "Talk"),
        place("fail", "Fail"),
        place("after", "Echo"),
        place("past", "Echo", bypassed=True),
        place("wait", "Wait"),
    ],
    "edges": [edge("talk", "text", "fail"), edge("fail", "result", "after")],
    "interfaceOutputs": {"said": {"isStream": True}},
    "outputInterfaceMappings": {"said": {"sourceNodeId": "talk", "sourceSlotKey": "words"}},
}
NODES = (talk, fail, echo, wait)


async def run_everything(path: Path) -> MetricsPack:
    pack = MetricsPack()
    settings = {NAME: {"path": str(path), "buckets": [60]}}
    async with pack_host(pack, *NODES, settings=settings) as host:
        run = host.start(await host.compile(WORKFLOW))
        await anyio.wait_all_tasks_blocked()
        under_way = pack.text()
        assert "comfytavern_runs_running 1\n" in under_way
        assert "comfytavern_nodes_running 1\n" in under_way
        run.interrupt()
        await run.wait()
        assert host.listener_reports == []
        assert host.packs.services["run_metrics"]() == pack.text()  # type: ignore[operator]  # by its README
    return pack


async def test_what_is_counted(tmp_path: Path) -> None:
    text = (await run_everything(tmp_path / "m.prom")).text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    counted = [line for line in lines if "_duration_seconds" not in line]
    assert counted == [
        'comfytavern_runs_total{status="interrupted"} 1',
        "comfytavern_runs_running 0",
        'comfytavern_nodes_total{type="test:Echo",status="bypassed"} 1',
        'comfytavern_nodes_total{type="test:Echo",status="skipped"} 1',
        'comfytavern_nodes_total{type="test:Fail",status="error"} 1',
        'comfytavern_nodes_total{type="test:Talk",status="complete"} 1',
        'comfytavern_nodes_total{type="test:Wait",status="interrupted"} 1',
        "comfytavern_nodes_running 0",
        'comfytavern_node_progress_total{type="test:Talk"} 1',
        'comfytavern_chunks_total{type="test:Talk",chunk="text_chunk"} 2',
        'comfytavern_interface_chunks_total{chunk="finish_reason_chunk"} 1',
        'comfytavern_interface_chunks_total{chunk="text_chunk"} 2',
    ]
    assert 'comfytavern_run_duration_seconds_bucket{status="interrupted",le="60"} 1' in lines
    assert 'comfytavern_run_duration_seconds_count{status="interrupted"} 1' in lines
    assert 'comfytavern_node_duration_seconds_bucket{type="test:Talk",le="+Inf"} 1' in lines
    names = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    assert len(names) == len(set(names)) == 9


async def test_the_file_is_the_text_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    pack = await run_everything(tmp_path / "m.prom")
    [file] = [file async for file in anyio.Path(tmp_path).iterdir()]
    assert file.name == "m.prom"
    assert await file.read_text("utf-8") == pack.text()


async def test_a_file_that_cannot_be_written_costs_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {NAME: {"path": str(tmp_path / "nowhere" / "m.prom")}}
    async with pack_host(MetricsPack(), echo, settings=settings) as host:
        result = await host.run({"nodes": [place("a", "Echo")]})
        assert result.error is None
    assert "hook run_finished: raised FileNotFoundError" in caplog.text


async def test_a_host_without_a_folder_gets_no_file() -> None:
    pack = MetricsPack()
    async with pack_host(pack, echo) as host:
        await host.run({"nodes": [place("a", "Echo")]})
    assert 'comfytavern_runs_total{status="complete"} 1' in pack.text()


@pytest.mark.parametrize("buckets", [[], [1, 1], [2, 1], ["many"]])
def test_buckets_that_are_refused(buckets: list[object]) -> None:
    with pytest.raises(ValidationError, match="buckets"):
        MetricsSettings.model_validate({"buckets": buckets})


def test_labels_are_escaped() -> None:
    counter = Counter("c", "Text.", ("l",))
    counter.add('a"b\\c\nd')
    assert list(counter.lines())[-1] == r'c{l="a\"b\\c\nd"} 1'


def test_a_histogram_adds_up() -> None:
    histogram = Histogram("h", "Text.", (), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert list(histogram.lines())[2:] == [
        'h_bucket{le="0.1"} 2',
        'h_bucket{le="1"} 3',
        'h_bucket{le="+Inf"} 4',
        "h_sum 7.65",
        "h_count 4",
    ]
