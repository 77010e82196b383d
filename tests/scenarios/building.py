"""Execution payloads in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("flow", "interface", "place", "saved")

Json = dict[str, Any]  # Any: JSON


def place(
    node_id: str,
    node_type: str,
    /,
    config: Mapping[str, object] | None = None,
    bypassed: bool = False,
    **inputs: object,
) -> Json:
    """Return a placed node; the type is of the namespace ``test`` unless it names another.

    An input named ``in`` is written ``in_``.
    """
    return {
        "id": node_id,
        "fullType": node_type if ":" in node_type else f"test:{node_type}",
        "inputs": {name.rstrip("_"): value for name, value in inputs.items()},
        "configValues": dict(config or {}),
        "bypassed": bypassed,
    }


def flow(*parts: Json | str, **more: object) -> Json:
    """Return a payload of nodes, and of edges written ``a.value > b.in``.

    :param more: further keys: ``outputs={"key": "node.slot"}`` or those of the payload
    """
    nodes = [part for part in parts if not isinstance(part, str)]
    edges = []
    for number, part in enumerate(part for part in parts if isinstance(part, str)):
        source, target = part.split(" > ")
        ends = {"id": f"e{number}"}
        ends["sourceNodeId"], _, ends["sourceHandle"] = source.rpartition(".")
        ends["targetNodeId"], _, ends["targetHandle"] = target.rpartition(".")
        edges.append(ends)
    outputs = more.pop("outputs", None)
    if isinstance(outputs, dict):
        mapped = {key: str(source).rpartition(".") for key, source in outputs.items()}
        more["outputInterfaceMappings"] = {
            key: {"sourceNodeId": node_id, "sourceSlotKey": slot}
            for key, (node_id, _, slot) in mapped.items()
        }
    return {"nodes": nodes, "edges": edges, **more}


def interface(**slots: str) -> Json:
    """Return interface slots: ``name="STRING"``; ``~`` is a stream, ``!`` is required."""
    return {
        name: {
            "key": name,
            "dataFlowType": code.rstrip("~!"),
            "isStream": "~" in code,
            "required": "!" in code,
        }
        for name, code in slots.items()
    }


def saved(payload: Json) -> Json:
    """Return the same workflow as a canvas file has it."""
    nodes = [
        {
            "id": node["id"],
            "type": node["fullType"],
            "position": {"x": 10 * number, "y": 0},
            "inputValues": node["inputs"],
            "configValues": node["configValues"],
            "isBypassed": node["bypassed"],
            "displayName": node["id"],
        }
        for number, node in enumerate(payload["nodes"])
    ]
    edges = [
        {
            "id": edge["id"],
            "source": edge["sourceNodeId"],
            "sourceHandle": edge["sourceHandle"],
            "target": edge["targetNodeId"],
            "targetHandle": edge["targetHandle"],
            "type": "default",
        }
        for edge in payload["edges"]
    ]
    rest = {key: value for key, value in payload.items() if key not in ("nodes", "edges")}
    rest.pop("outputInterfaceMappings", None)
    canvas = {"viewport": {"x": 0, "y": 0, "zoom": 1}, "referencedWorkflows": [], "name": "saved"}
    return {"nodes": nodes, "edges": edges, **rest, **canvas}
