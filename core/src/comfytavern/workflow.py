"""The two workflow formats, read into one shape: nodes, edges, interfaces.

The *execution payload* (``fullType``, ``sourceNodeId``) is what a page submits; the
*saved canvas* (``type``, ``source``, ``inputValues``, positions) is what it stores.
Only the shape is checked here; what the names mean is the plan's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from .errors import Finding, WorkflowError
from .types import DataFlowType, SlotType

__all__ = (
    "Edge",
    "InterfaceSlot",
    "OutputMapping",
    "RecordedPack",
    "Workflow",
    "WorkflowNode",
    "parse_workflow",
    "read_workflow",
)

# Deeper JSON than this is refused: nothing a page saves comes near, and what walks the
# values later (encoding, validation) may recurse.
MAX_DEPTH = 200


def _identifier(value: object) -> object:
    # Ids are strings whatever they look like: 7 and "7" are the same node.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


Id = Annotated[str, BeforeValidator(_identifier)]

# They end in a command that a user may copy, so nothing else is taken for one.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,63}")


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


class RecordedPack(_Part):
    """The pack that a node was of when its workflow was saved."""

    distribution: str
    version: str = ""

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        public = self.version.partition("+")[0]  # no index has a local version
        return f"{self.distribution}>={public}" if public else self.distribution

    def is_newer_than(self, version: str) -> bool:
        """Tell whether another version is older than this; False where either is no version."""
        from packaging.version import InvalidVersion, Version  # only for a message

        try:
            return Version(self.version) > Version(version)
        except InvalidVersion:
            return False


def _recorded(value: object) -> object:
    # Whatever else a file has under this key is somebody else's and no reason to refuse it.
    if isinstance(value, RecordedPack) or not isinstance(value, Mapping):
        return value if isinstance(value, RecordedPack) else None
    name, version = value.get("distribution"), value.get("version")
    if not isinstance(name, str) or not _DISTRIBUTION.fullmatch(name):
        return None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        version = ""
    return RecordedPack(distribution=name, version=version)


class WorkflowNode(_Part):
    """A placed node."""

    id: Id
    full_type: str = Field(validation_alias=AliasChoices("fullType", "type", "full_type"))
    inputs: dict[str, object] = Field(
        default_factory=dict, validation_alias=AliasChoices("inputs", "inputValues")
    )
    config_values: dict[str, object] = Field(default_factory=dict)
    bypassed: bool = Field(
        default=False, validation_alias=AliasChoices("bypassed", "isBypassed", "bypass")
    )
    input_connection_orders: dict[str, list[Id]] = Field(default_factory=dict)
    pack: Annotated[RecordedPack | None, BeforeValidator(_recorded)] = None


class Edge(_Part):
    """A connection between two slots."""

    id: Id | None = None
    source: Id = Field(validation_alias=AliasChoices("sourceNodeId", "source"))
    source_slot: str = Field(validation_alias=AliasChoices("sourceHandle", "source_slot"))
    target: Id = Field(validation_alias=AliasChoices("targetNodeId", "target"))
    target_slot: str = Field(validation_alias=AliasChoices("targetHandle", "target_slot"))


class InterfaceSlot(_Part):
    """One named input or output of a whole workflow."""

    key: str | None = None
    display_name: str | None = None
    description: str | None = Field(
        default=None, validation_alias=AliasChoices("description", "customDescription")
    )
    data_flow_type: DataFlowType = DataFlowType.WILDCARD
    is_stream: bool = False
    match_categories: tuple[str, ...] = ()
    required: bool = False
    multi: bool = False
    config: dict[str, object] = Field(default_factory=dict)

    @property
    def slot_type(self) -> SlotType:
        """What the connection rules need to know of this slot."""
        return SlotType(self.data_flow_type, self.is_stream, frozenset(self.match_categories))


class OutputMapping(_Part):
    """Which inner output an interface output shows."""

    source_node_id: Id
    source_slot_key: str


class Workflow(_Part):
    """A workflow of either format. ``output_mappings`` is None where the file has none."""

    id: str | None = Field(default=None, validation_alias=AliasChoices("id", "workflowId"))
    name: str | None = None
    nodes: tuple[WorkflowNode, ...]
    edges: tuple[Edge, ...] = ()
    interface_inputs: dict[str, InterfaceSlot] = Field(default_factory=dict)
    interface_outputs: dict[str, InterfaceSlot] = Field(default_factory=dict)
    output_mappings: dict[str, OutputMapping] | None = Field(
        default=None, validation_alias=AliasChoices("outputInterfaceMappings", "output_mappings")
    )


def read_workflow(text: str | bytes, *, source: str = "workflow") -> Workflow:
    """Parse the text of a workflow file.

    :param source: how messages name it, as a rule the file's name
    :raises WorkflowError: it is not JSON, or not shaped like a workflow
    """
    try:
        document = json.loads(text)
    except UnicodeDecodeError:
        raise _refused("not_utf8", f"{source} is not UTF-8 text") from None
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise _refused("not_json", f"{source} is not JSON: {exc.msg.lower()} ({where})") from None
    except RecursionError:
        raise _refused("too_deep", f"{source} is nested too deeply to be a workflow") from None
    except ValueError:  # the one thing left: Python reads no integer of thousands of digits
        raise _refused("not_json", f"{source} holds a number of too many digits") from None
    return parse_workflow(document, source=source)


def parse_workflow(document: object, *, source: str = "workflow") -> Workflow:
    """Check the shape of a decoded workflow; all problems are reported at once.

    :raises WorkflowError: it is not shaped like a workflow
    """
    if isinstance(document, Workflow):
        return document
    if not isinstance(document, Mapping) or not isinstance(document.get("nodes"), list | tuple):
        raise _refused(
            "not_a_workflow",
            f"{source} is not a workflow: expected an object with a list of 'nodes'",
        )
    _refuse_deep(document, source)
    try:
        workflow = Workflow.model_validate(_without_nulls(document))
    except ValidationError as exc:
        raise WorkflowError([_finding(error, source) for error in exc.errors()]) from None
    _refuse_names(workflow, source)
    return workflow


def _without_nulls(document: Mapping[str, Any]) -> dict[str, Any]:
    # Canvas files write null where the payload leaves a key out.
    return {key: value for key, value in document.items() if value is not None}


def _refuse_names(workflow: Workflow, source: str) -> None:
    """Refuse names that no event could carry: half of a surrogate pair is no UTF-8.

    :raises WorkflowError: naming the first of them
    """
    names = [name for node in workflow.nodes for name in (node.id, node.full_type)]
    for edge in workflow.edges:
        names += (edge.source, edge.source_slot, edge.target, edge.target_slot)
    for slots in (workflow.interface_inputs, workflow.interface_outputs):
        names += [text for key, slot in slots.items() for text in (key, slot.display_name or "")]
    names += workflow.output_mappings or ()
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        name = next(name for name in names if not _is_sendable(name))
        message = f"{source}: the name {name!a} is not Unicode text"
        raise _refused("bad_shape", message) from None


def _is_sendable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _finding(error: Any, source: str) -> Finding:
    path = ".".join(str(part) for part in error["loc"])
    message = error["msg"][0].lower() + error["msg"][1:]
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in f"{path}: {message}")
    return Finding("bad_shape", f"{source}: {shown}", path=path)


def _refuse_deep(document: object, source: str) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        following: list[object] = []
        for value in level:
            if isinstance(value, Mapping):
                following.extend(v for v in value.values() if isinstance(v, dict | list))
            elif isinstance(value, list | tuple):
                following.extend(v for v in value if isinstance(v, dict | list))
        if not following:
            return
        level = following
    raise _refused("too_deep", f"{source} is nested more than {MAX_DEPTH} levels deep")


def _refused(code: str, message: str) -> WorkflowError:
    return WorkflowError([Finding(code, message)])
