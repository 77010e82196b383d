"""The spec of a run as it is stored, and back: everything that executing it needs, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from comfytavern.runner import RunSpec

__all__ = ("decode_spec", "encode_spec")


def encode_spec(spec: RunSpec) -> bytes:
    """Return a spec as JSON; its run id is kept apart.

    :raises TypeError: it holds what JSON cannot
    """
    return orjson.dumps(
        {
            "workflow": spec.workflow,
            "inputs": spec.inputs,
            "workflows": spec.workflows,
            "userId": spec.user_id,
            "packsDigest": spec.packs_digest,
            "allowMissing": spec.allow_missing,
        }
    )


def decode_spec(run_id: str, text: bytes) -> RunSpec:
    """Return the spec that was stored for a run."""
    fields: Mapping[str, Any] = orjson.loads(text)  # Any: JSON
    return RunSpec(
        run_id,
        fields["workflow"],
        fields["inputs"],
        fields["workflows"],
        fields["userId"],
        fields["packsDigest"],
        allow_missing=fields.get("allowMissing", False),
    )
