"""The operator's configuration: ``comfytavern.yaml``, the environment and flags."""

from __future__ import annotations

from ..config_places import FILE_NAME, user_config_path
from .changes import changed_keys
from .describe import describe, locate, unresolved_references
from .edit import disable_pack, enable_pack
from .load import build_config, find_config, load_config
from .model import (
    Config,
    History,
    Http,
    Limits,
    Logs,
    Packs,
    Resources,
    SecretEntry,
    Server,
)
from .origins import Origin, Provenance, key_text, parse_key
from .overlay import environment_overlays, options
from .problems import ConfigError, Problem, SecretUnresolvedError
from .references import SHOWN_SECRET, Secret, SecretReference
from .source import Source, parse_source, read_source
from .values import (
    distribution_name,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

__all__ = (
    "FILE_NAME",
    "SHOWN_SECRET",
    "Config",
    "ConfigError",
    "History",
    "Http",
    "Limits",
    "Logs",
    "Origin",
    "Packs",
    "Problem",
    "Provenance",
    "Resources",
    "Secret",
    "SecretEntry",
    "SecretReference",
    "SecretUnresolvedError",
    "Server",
    "Source",
    "build_config",
    "changed_keys",
    "describe",
    "disable_pack",
    "distribution_name",
    "enable_pack",
    "environment_overlays",
    "find_config",
    "format_duration",
    "format_size",
    "key_text",
    "load_config",
    "locate",
    "options",
    "parse_duration",
    "parse_key",
    "parse_size",
    "parse_source",
    "read_source",
    "unresolved_references",
    "user_config_path",
)
