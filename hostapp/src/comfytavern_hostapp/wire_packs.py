"""The bodies of what tells of nodes and packs, as models; see ``wire``."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, RootModel

from comfytavern.packs import PackState

from .wire import Body

__all__ = (
    "NodeEntry",
    "NodeList",
    "PackEntry",
    "PackList",
    "Reloaded",
    "SettingsBlock",
    "SettingsCheck",
    "SettingsProblem",
    "SettingsSchema",
)

Json = dict[str, Any]  # Any: a JSON value


class NodeEntry(Body):
    """A node type with its slots; a field that says nothing is left out."""

    model_config = ConfigDict(extra="allow")

    type: str
    full_type: str
    namespace: str
    display_name: str
    category: str
    description: str
    inputs: dict[str, Json]
    outputs: dict[str, Json]
    client_script_url: str | None = Field(
        default=None, description="the path of its script on this server"
    )
    pack: str
    pack_version: str


class NodeList(RootModel[tuple[NodeEntry, ...]]):
    """The node types of all loaded packs."""


class PackEntry(Body):
    """A pack: what became of it, and what to do if that is not what was wanted."""

    distribution: str
    version: str
    summary: str
    state: PackState
    enabled: bool
    phase: str = Field(description="where it failed: import, hooks, settings, nodes ...")
    error: str = Field(description="why it is not loaded, in one line")
    remedy: str = Field(description="the next step, if there is one")
    traceback: str
    node_types: tuple[str, ...]
    commands: tuple[str, ...]
    import_ms: float | None = Field(
        default=None, description="how long the import took; for a lazy pack, the last one"
    )
    lazy: bool = Field(
        default=False, description="known from its last import; imported when a node of it runs"
    )
    api_range: str | None = Field(default=None, description="the comfytavern-core it is built for")
    warnings: tuple[str, ...]
    enable_command: str | None = Field(
        default=None, description="what lets it run; only the operator can, on the host itself"
    )


class PackList(RootModel[tuple[PackEntry, ...]]):
    """Every installed pack, by name."""


class SettingsSchema(RootModel[Json]):
    """The JSON Schema of a pack's block under ``packs.settings``."""


class SettingsBlock(Body):
    """What might stand under ``packs.settings`` for a pack."""

    settings: Json


class SettingsProblem(Body):
    """One thing that does not fit, and where; it holds nothing of what was given."""

    path: str
    message: str


class SettingsCheck(Body):
    """Whether a block fits the pack's own model."""

    valid: bool
    problems: tuple[SettingsProblem, ...]


class Reloaded(Body):
    """What a reload has changed; ``count`` is how many node types there are now.

    ``restartRequired`` says what has changed and has no effect before the host restarts.
    """

    success: bool
    message: str
    count: int
    changed: tuple[PackEntry, ...]
    restart_required: tuple[str, ...]
    warnings: tuple[str, ...]
