"""The blocks of ``comfytavern.yaml``, frozen, with their defaults and bounds.

Every key of the file is a field here; there is no second list of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
)

from .addresses import BaseUrl, Host, Network, Port, RootPath, ServedHost, WebOrigin
from .origins import Provenance
from .values import (
    EMPTY_LIST,
    EMPTY_MAPPING,
    Count,
    CountOrNone,
    Days,
    Depth,
    Directory,
    DistributionName,
    Duration,
    LogFormat,
    LogLevel,
    Name,
    Reference,
    Size,
    Threads,
    Truth,
    Unfit,
    distribution_name,
)

DEFAULT_ALIASES: dict[str, tuple[str, ...]] = {
    "core": ("comfytavern-core-nodes", "comfytavern-llm-nodes")
}

# A pack's or a runner's own block: its own model validates it, later.
RawBlock = Annotated[dict[str, object], EMPTY_MAPPING]


class _Block(BaseModel):
    # Validation errors are told without their input: it may be a secret.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Server(_Block):
    """Where the server listens, and whom it answers."""

    host: Host = "127.0.0.1"
    port: Port = 8321
    token: Reference | None = None
    allowed_hosts: Annotated[tuple[ServedHost, ...], EMPTY_LIST] = ()
    allowed_origins: Annotated[tuple[WebOrigin, ...], EMPTY_LIST] = ()
    root_path: RootPath = ""


def _everything_or_names(value: object) -> object:
    expected = "'*' or a list of distribution names"
    if isinstance(value, list | tuple) and "*" in value:
        raise Unfit(expected, "is a list that holds '*'")
    # Not null: a list whose items are all commented out must not enable every pack.
    if value == "*" or isinstance(value, list | tuple):
        return value
    raise Unfit(expected)


def _enabled_kind(value: object) -> str:
    return "everything" if value == "*" else "names"


def _each_once(value: object) -> object:
    """Two spellings of one distribution would otherwise hide one of the blocks."""
    if not isinstance(value, dict):
        return value
    seen: dict[str, object] = {}
    for name in value:
        try:
            earlier = seen.setdefault(distribution_name(name), name)
        except Unfit:
            continue  # told by the key's own validator
        if earlier is not name:
            raise Unfit("each distribution once", f"holds both {earlier!r} and {name!r}")
    return value


class Packs(_Block):
    """Which packs run, and with which settings."""

    enabled: Annotated[
        Annotated[Literal["*"], Tag("everything")]
        | Annotated[tuple[DistributionName, ...], Tag("names")],
        Discriminator(_enabled_kind),
        BeforeValidator(_everything_or_names),
    ] = "*"
    disabled: Annotated[tuple[DistributionName, ...], EMPTY_LIST] = ()
    lazy: Truth = False
    bypass: Annotated[tuple[DistributionName, ...], EMPTY_LIST] = ()
    namespaces: Annotated[dict[Name, DistributionName], EMPTY_MAPPING] = {}
    settings: Annotated[
        dict[DistributionName, RawBlock], EMPTY_MAPPING, BeforeValidator(_each_once)
    ] = {}

    def allows(self, distribution: str) -> bool:
        """Tell whether the operator lets this distribution run, however it is spelt."""
        name = distribution_name(distribution)
        return name not in self.disabled and (self.enabled == "*" or name in self.enabled)


def _at_least_one(value: object) -> object:
    if value is None or value == []:
        raise Unfit("a list of at least one base URL; the secret is sent nowhere else")
    return value


class SecretEntry(_Block):
    """A secret that nodes may send, and the base URLs it may be sent to."""

    value: Reference
    base_urls: Annotated[tuple[BaseUrl, ...], BeforeValidator(_at_least_one)]


class Resources(_Block):
    """Directories that workflows may read from, by name."""

    roots: Annotated[dict[Name, Directory], EMPTY_MAPPING] = {}


class Http(_Block):
    """Private addresses that nodes may reach besides the configured channels."""

    allow: Annotated[tuple[Network, ...], EMPTY_LIST] = ()


class Limits(_Block):
    """How much runs at once, waits, is buffered and is taken in."""

    concurrent_runs: Count = 4
    queued_runs: CountOrNone = 1000
    nodes_in_parallel: Count = 256
    threads: Threads = 16
    stream_buffer: Count = 256
    stream_overflow: Count = 65536
    group_depth: Depth = 16
    interrupt_grace: Duration = 5.0
    body: Size = 16 * 1024**2


class History(_Block):
    """How many finished runs are kept: by count, age and bytes."""

    keep_runs: Count = 1000
    keep_days: Days = 30.0
    keep_bytes: Size = 1024**3


class Logs(_Block):
    """What the server logs, and how."""

    level: LogLevel = "info"
    format: LogFormat = "text"


def _default_data_dir() -> Path:
    return Path(os.path.abspath(os.path.expanduser("~/comfytavern")))


def _with_default_aliases(value: object) -> object:
    """An alias is a key like any other: naming one leaves the others as they are."""
    return DEFAULT_ALIASES | value if isinstance(value, dict) else value


def _no_block(value: str) -> str:
    """A runner's block is named as the runner: it must not be one of ours."""
    if value in Config.model_fields:
        raise Unfit("the name of a runner", f"is {value!r}, which is a key of this file")
    return value


class Config(_Block):
    """The operator's choices, each with its default. ``load_config`` makes one.

    ``Config()`` is the configuration of a host without a file. Raw blocks
    (``packs.settings``, ``runner_settings``) hold plain lists and mappings: read them,
    do not write to them.
    """

    server: Annotated[Server, EMPTY_MAPPING] = Server()
    data_dir: Directory = Field(default_factory=_default_data_dir)
    packs: Annotated[Packs, EMPTY_MAPPING] = Packs()
    aliases: Annotated[
        dict[Name, Annotated[tuple[DistributionName, ...], EMPTY_LIST]],
        BeforeValidator(_with_default_aliases),
        EMPTY_MAPPING,
    ] = DEFAULT_ALIASES
    secrets: Annotated[dict[Name, SecretEntry], EMPTY_MAPPING] = {}
    resources: Annotated[Resources, EMPTY_MAPPING] = Resources()
    http: Annotated[Http, EMPTY_MAPPING] = Http()
    runner: Annotated[Name, AfterValidator(_no_block)] = "local"
    runner_settings: RawBlock = {}
    limits: Annotated[Limits, EMPTY_MAPPING] = Limits()
    history: Annotated[History, EMPTY_MAPPING] = History()
    logs: Annotated[Logs, EMPTY_MAPPING] = Logs()

    _provenance: Provenance = PrivateAttr(default_factory=Provenance)

    @property
    def path(self) -> Path | None:
        """The file that was read, None if there was none."""
        return self._provenance.path

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks like a slip but stops nothing."""
        return self._provenance.warnings

    @property
    def provenance(self) -> Provenance:
        """Where each value came from."""
        return self._provenance

    def with_provenance(self, provenance: Provenance) -> Config:
        """Return the same values with another record of where they came from."""
        copy = self.model_copy()
        copy._provenance = provenance
        return copy
