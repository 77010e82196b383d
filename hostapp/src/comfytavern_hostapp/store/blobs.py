"""Bytes that events refer to, as files named by their hash below ``data_dir/blobs``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from comfytavern.encoding import BlobSink

from .records import Blob

__all__ = ("BlobFolder", "BlobIntake")

_SHA256 = re.compile("[0-9a-f]{64}")


class BlobFolder:
    """A folder of blobs. All of it blocks and is called in threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Return where a blob is, whether or not it is there.

        :raises ValueError: that is no hash
        """
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is no SHA-256 in lower case hexadecimal digits")
        return self._folder / sha256[:2] / sha256

    def save(self, blobs: Iterable[Blob]) -> None:
        """Write what is not there yet.

        :raises OSError: it cannot be written
        """
        for blob in blobs:
            path = self.path(blob.sha256)
            if path.exists():
                continue
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = path.with_name(f"{path.name}.new")
            fresh.write_bytes(blob.data)
            os.replace(fresh, path)

    def remove(self, hashes: Iterable[str]) -> None:
        """Remove blobs; one that is gone already is no error."""
        for sha256 in hashes:
            with suppress(OSError):
                self.path(sha256).unlink()


class BlobIntake:
    """Takes the blobs of running runs from the encoder until their events are stored."""

    def __init__(self) -> None:
        self._taken: dict[str, dict[str, Blob]] = {}

    def sink(self, run_id: str) -> BlobSink:
        """Return what the encoder of a run hands its bytes to."""

        def keep(sha256: str, data: bytes, mime: str) -> None:
            self._taken.setdefault(run_id, {})[sha256] = Blob(sha256, mime, data)

        return keep

    def take(self, run_id: str) -> tuple[Blob, ...]:
        """Return what a run has brought since the last call."""
        return tuple(self._taken.pop(run_id, {}).values())
