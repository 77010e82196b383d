"""What a host keeps: runs with their events, in one SQLite file, and blobs beside it."""

from __future__ import annotations

from .blobs import BlobIntake
from .errors import (
    DataDirectoryInUseError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreVersionError,
)
from .lock import Holder, find_host, read_holder
from .records import Blob, EventBatch, NewRun, RunFilter, RunPage, StoredRun
from .retention import Retention
from .runs import FILE_NAME, Created, RunStore, set_aside

__all__ = (
    "FILE_NAME",
    "Blob",
    "BlobIntake",
    "Created",
    "DataDirectoryInUseError",
    "EventBatch",
    "Holder",
    "NewRun",
    "Retention",
    "RunFilter",
    "RunPage",
    "RunStore",
    "StoreDamagedError",
    "StoreError",
    "StoreFullError",
    "StoreVersionError",
    "StoredRun",
    "find_host",
    "read_holder",
    "set_aside",
)
