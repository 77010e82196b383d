"""What is counted, and how each event changes it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

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

from .exposition import Counter, Gauge, Histogram

__all__ = ("BUCKETS", "RunMetrics")

BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0)
BY_TYPE = ("type",)


class RunMetrics:
    """Counts what happens in runs. ``changes`` rises with everything that is heard.

    Under a lock: a host calls a slow listener in a thread, while others ask for the text.
    """

    def __init__(self, buckets: Sequence[float] = BUCKETS) -> None:
        self.changes = 0
        self._lock = Lock()
        # which nodes run, and of which type they are: chunks name the node only
        self._running: dict[tuple[str, str], str] = {}
        self._open: set[str] = set()
        prefix = "comfytavern"
        self._runs = Counter(f"{prefix}_runs_total", "Runs that ended, by status.", ("status",))
        self._runs_now = Gauge(f"{prefix}_runs_running", "Runs under way.")
        self._run_seconds = Histogram(
            f"{prefix}_run_duration_seconds", "How long runs took.", ("status",), buckets
        )
        self._nodes = Counter(
            f"{prefix}_nodes_total", "Nodes that ended, by type and status.", ("type", "status")
        )
        self._nodes_now = Gauge(f"{prefix}_nodes_running", "Nodes under way.")
        self._node_seconds = Histogram(
            f"{prefix}_node_duration_seconds", "How long nodes took.", BY_TYPE, buckets
        )
        self._progress = Counter(
            f"{prefix}_node_progress_total", "Reports of progress, by type.", BY_TYPE
        )
        self._chunks = Counter(
            f"{prefix}_chunks_total", "Chunks that nodes streamed.", ("type", "chunk")
        )
        self._interface = Counter(
            f"{prefix}_interface_chunks_total", "Chunks that workflows handed out.", ("chunk",)
        )
        self._all = (
            self._runs,
            self._runs_now,
            self._run_seconds,
            self._nodes,
            self._nodes_now,
            self._node_seconds,
            self._progress,
            self._chunks,
            self._interface,
        )

    def text(self) -> str:
        """Return everything as Prometheus reads it."""
        with self._lock:
            return "".join(f"{line}\n" for metric in self._all for line in metric.lines())

    def run_started(self, event: RunStarted) -> None:
        """Count a run that begins."""
        with self._lock:
            self.changes += 1
            self._open.add(event.run_id)
            self._runs_now.add()

    def run_finished(self, event: RunFinished) -> None:
        """Count a run that ended; it need not have started."""
        with self._lock:
            self.changes += 1
            if event.run_id in self._open:
                self._open.remove(event.run_id)
                self._runs_now.add(amount=-1)
            for key in [key for key in self._running if key[0] == event.run_id]:
                self._forget(key)
            self._runs.add(event.status.value)
            self._run_seconds.observe(event.duration_ms / 1000, event.status.value)

    def node_started(self, event: NodeStarted) -> None:
        """Count a node that begins."""
        with self._lock:
            self.changes += 1
            self._running[event.run_id, event.node_id] = event.node_type
            self._nodes_now.add()

    def node_ended(
        self,
        event: NodeCompleted | NodeFailed | NodeSkipped | NodeBypassed | NodeInterrupted,
        status: str,
    ) -> None:
        """Count a node that ended; it need not have started."""
        with self._lock:
            self.changes += 1
            self._forget((event.run_id, event.node_id))
            self._nodes.add(event.node_type, status)
            if isinstance(event, NodeCompleted):
                self._node_seconds.observe(event.duration_ms / 1000, event.node_type)

    def progress(self, event: NodeProgress) -> None:
        """Count a report of progress."""
        with self._lock:
            self.changes += 1
            self._progress.add(event.node_type)

    def chunks(self, events: Sequence[NodeChunk]) -> None:
        """Count what nodes streamed."""
        with self._lock:
            self.changes += 1
            for event in events:
                node_type = self._running.get((event.run_id, event.node_id), "unknown")
                self._chunks.add(node_type, event.chunk.type)

    def interface_chunks(self, events: Sequence[InterfaceChunk]) -> None:
        """Count what workflows handed out."""
        with self._lock:
            self.changes += 1
            for event in events:
                self._interface.add(event.chunk.type)

    def _forget(self, key: tuple[str, str]) -> None:
        if self._running.pop(key, None) is not None:
            self._nodes_now.add(amount=-1)
