"""What the stream nodes share: finding the stream among the inputs."""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.chunks import Stream
from comfytavern.types import describe_value

__all__ = ("TEXT_CHUNK", "stream_of")

TEXT_CHUNK = "text_chunk"


def stream_of(inputs: Mapping[str, object], name: str) -> Stream:
    """Return the stream in the input ``name``.

    :raises TypeError: there is something else in it, or nothing
    """
    value = inputs.get(name)
    if not isinstance(value, Stream):
        found = describe_value(value) if name in inputs else "missing"
        raise TypeError(f"input {name!r} is {found}; expected a stream")
    return value
