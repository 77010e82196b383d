"""The service of the pack: there for every host, costs nothing unused, gone with its host."""

from __future__ import annotations

import subprocess

import pytest

import comfytavern_core_nodes
from comfytavern.testing import pack_host
from comfytavern_core_nodes.regexes import Job, RegexWorker, Step
from comfytavern_core_nodes.regexes.process import WorkerProcess

JOB = Job("abc", (Step("b.", "", "X"),))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Give the processes that were started."""
    processes: list[subprocess.Popen[bytes]] = []
    start = WorkerProcess._start

    def noted(self: WorkerProcess) -> subprocess.Popen[bytes]:
        processes.append(start(self))
        return processes[-1]

    monkeypatch.setattr(WorkerProcess, "_start", noted)
    return processes


async def test_expressions_end_with_their_host(started: list[subprocess.Popen[bytes]]) -> None:
    async with pack_host(comfytavern_core_nodes) as host:
        worker = host.packs.services["regex_worker"]
        assert isinstance(worker, RegexWorker)
        assert started == []
        [pieces] = await worker.replace([JOB])
        assert "".join(pieces) == "aX"
        [process] = started
        assert process.poll() is None
    assert process.returncode is not None


async def test_every_host_has_its_own(started: list[subprocess.Popen[bytes]]) -> None:
    async with (
        pack_host(comfytavern_core_nodes) as one,
        pack_host(comfytavern_core_nodes) as other,
    ):
        assert one.packs.services["regex_worker"] is not other.packs.services["regex_worker"]
    assert started == []
