"""A pack that only listens: run metrics for Prometheus. The hooks, nothing else.

The entry point names an object, ``plugin``, so that a test can make one of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field, field_validator

from comfytavern import PackContext, hookimpl
from comfytavern.events import (
    InterfaceChunk,
    NodeBypassed,
    NodeChunk,
    NodeCompleted,
    NodeFailed,
    NodeInterrupted,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunStarted,
)

from .metrics import BUCKETS, RunMetrics

__all__ = ("MetricsPack", "MetricsSettings", "plugin")


class MetricsSettings(BaseModel):
    """The pack's block under ``packs.settings``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = Field(
        None,
        description="the file to write after each run; by default metrics.prom, in the"
        " pack's own folder",
    )
    buckets: tuple[float, ...] = Field(
        BUCKETS, min_length=1, description="upper ends of the histograms' ranges, in seconds"
    )

    @field_validator("buckets")
    @classmethod
    def _rising(cls, buckets: tuple[float, ...]) -> tuple[float, ...]:
        if any(left >= right for left, right in pairwise(buckets)):
            raise ValueError("the ranges do not rise")
        return buckets


class MetricsPack:
    """Listens to every event hook. One object counts for one host, the last that loaded it."""

    distribution = "comfytavern-run-metrics"

    def __init__(self) -> None:
        self._metrics = RunMetrics()
        self._path: Path | None = None
        self._written = 0

    def text(self) -> str:
        """Return the metrics so far, as Prometheus reads them; from any thread."""
        return self._metrics.text()

    @hookimpl
    def settings_model(self) -> type[BaseModel]:
        """Give the model of this pack's settings."""
        return MetricsSettings

    @hookimpl
    def register_services(self, pack: PackContext) -> Mapping[str, object]:
        """Contribute ``run_metrics``: called, it returns the text."""
        settings = pack.settings if isinstance(pack.settings, MetricsSettings) else None
        settings = settings or MetricsSettings()
        self._metrics = RunMetrics(settings.buckets)
        self._written = 0
        folder = pack.data_dir
        own = None if folder is None else folder / "metrics.prom"
        self._path = settings.path.expanduser() if settings.path is not None else own
        return {"run_metrics": self.text}

    @hookimpl
    def host_stopping(self) -> Callable[[], Awaitable[None]]:
        """Write the file a last time."""
        return self._write

    # Counting takes microseconds, so these are plain functions: they are called at once.

    @hookimpl
    def run_started(self, event: RunStarted) -> None:
        self._metrics.run_started(event)

    @hookimpl
    def run_finished(self, event: RunFinished) -> None:
        self._metrics.run_finished(event)

    @hookimpl
    def node_started(self, event: NodeStarted) -> None:
        self._metrics.node_started(event)

    @hookimpl
    def node_completed(self, event: NodeCompleted) -> None:
        self._metrics.node_ended(event, "complete")

    @hookimpl
    def node_failed(self, event: NodeFailed) -> None:
        self._metrics.node_ended(event, "error")

    @hookimpl
    def node_skipped(self, event: NodeSkipped) -> None:
        self._metrics.node_ended(event, "skipped")

    @hookimpl
    def node_bypassed(self, event: NodeBypassed) -> None:
        self._metrics.node_ended(event, "bypassed")

    @hookimpl
    def node_interrupted(self, event: NodeInterrupted) -> None:
        self._metrics.node_ended(event, "interrupted")

    @hookimpl
    def node_progress(self, event: NodeProgress) -> None:
        self._metrics.progress(event)

    @hookimpl
    def node_chunks(self, events: Sequence[NodeChunk]) -> None:
        self._metrics.chunks(events)

    @hookimpl
    def interface_chunks(self, events: Sequence[InterfaceChunk]) -> None:
        self._metrics.interface_chunks(events)

    # Writing waits for a disk, so this one is a coroutine function: it is called beside the run.

    @hookimpl(specname="run_finished")
    async def write_after_a_run(self) -> None:
        """Write the file; once for all the runs that ended meanwhile."""
        await self._write()

    async def _write(self) -> None:
        changes = self._metrics.changes
        if self._path is None or changes == self._written:
            return
        await to_thread.run_sync(_replace, self._path, self.text())
        self._written = changes


def _replace(path: Path, text: str) -> None:
    """Write a file so that a reader finds the old text or the new, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # whoever collects it is somebody else
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


plugin = MetricsPack()
