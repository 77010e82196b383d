"""Runs made up for the store: no engine has run them."""

from __future__ import annotations

import hashlib
import json

from comfytavern.events import Status
from comfytavern_hostapp.store import Blob, EventBatch, NewRun, RunStore, StoredRun

__all__ = ("add_run", "batch", "blob", "finish", "new_run")

NOW = 1_800_000_000.0


def batch(first: int, *texts: str, blobs: tuple[Blob, ...] = ()) -> EventBatch:
    """Return events from ``first`` on, each a line of JSON that names itself."""
    frames = [
        json.dumps({"seq": seq, "text": text}).encode() for seq, text in enumerate(texts, first)
    ]
    return EventBatch(first, frames, blobs)


def blob(data: bytes) -> Blob:
    """Return bytes as events refer to them."""
    return Blob(hashlib.sha256(data).hexdigest(), "application/octet-stream", data)


def new_run(run_id: str, **more: object) -> NewRun:
    """Return a run that is handed in; its first event says so."""
    fields: dict[str, object] = {"spec": b'{"workflow":{}}', "created": NOW}
    fields |= {"batch": batch(1, f"{run_id} accepted"), **more}
    return NewRun(run_id, **fields)  # type: ignore[arg-type]  # the fields of the same names


async def add_run(store: RunStore, run_id: str, **more: object) -> StoredRun:
    """Store a run that waits."""
    return (await store.create(new_run(run_id, **more))).run


async def finish(
    store: RunStore,
    run_id: str,
    text: str = "ended",
    *,
    finished: float | None = None,
    blobs: tuple[Blob, ...] = (),
) -> StoredRun:
    """Store a run that has ended.

    :param finished: when, in place of the present
    """
    number = (await add_run(store, run_id)).number
    await store.append(number, batch(2, text, blobs=blobs), status=Status.COMPLETE, report=b"{}")
    if finished is not None:
        sql = "UPDATE runs SET finished = ? WHERE number = ?"
        await store.database.write(lambda writer: writer.execute(sql, (finished, number)))
    return await store.find(run_id)
