"""Hashes of files, the way RECORD writes them."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from pathlib import Path

__all__ = ("hash_file",)

_CHUNK = 2**20


def hash_file(file: Path, algorithm: str) -> str:
    """Return ``algorithm=hash``; empty for an algorithm that nobody can check.

    :raises OSError: the file cannot be read
    """
    try:
        digest = hashlib.new(algorithm)
    except ValueError:
        return ""
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return f"{algorithm}={urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()}"
