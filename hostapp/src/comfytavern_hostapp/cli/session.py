"""What every verb shares: the console, the global options, the configuration, the host."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import click

from ..console import Console
from .logs import announce, set_level

if TYPE_CHECKING:
    from comfytavern.packs import PackManager

    from ..config import Config
    from ..hosting import ConfiguredHost, Imports

__all__ = ("Session", "json_option", "pass_session")

_log = logging.getLogger("comfytavern.server")


@dataclass
class Session:
    """One command: what was asked for in general, and what is made of it on demand."""

    console: Console = field(default_factory=Console)
    config_path: str | None = None
    data_dir: str | None = None
    log_level: str | None = None
    safe: bool = False
    strict: bool = False
    debug: bool = False
    as_json: bool = False
    keep: bool = True
    # What flags of the verb itself set, by dotted key.
    flags: dict[str, object] = field(default_factory=dict)
    # A server logs what other verbs tell, so that whoever reads its logs misses nothing.
    is_server: bool = False
    _config: Config | None = None

    @property
    def config(self) -> Config:
        """The configuration; read once, its warnings told.

        :raises ConfigError: everything that is wrong with it
        """
        if self._config is None:
            self._config = self.read_config()
            set_level(self.level(self._config), self._config.logs.format)
            for warning in self._config.warnings:
                self.warn(warning)
        return self._config

    def use(self, config: Config) -> None:
        """Go on with this configuration in place of the operator's: built-in packs, no traces."""
        self._config = config
        self.safe, self.keep = True, False
        self.log_level = self.log_level or "error"

    def read_config(self) -> Config:
        """Read the configuration anew.

        :raises ConfigError: everything that is wrong with it
        """
        from ..config import load_config  # pydantic and YAML: not for help

        flags = {"data_dir": self.data_dir, "logs.level": self.log_level}
        return load_config(self.config_path, flags=flags | self.flags)

    def packs(self) -> PackManager:
        """Return the packs by their metadata; nothing is imported."""
        from ..hosting import pack_manager  # the engine: not for help

        return pack_manager(self.config, safe=self.safe)

    def open_host(self, *, quiet: bool = False, imports: Imports = "configured") -> ConfiguredHost:
        """Return the configured host with its packs loaded; what failed is told.

        :param quiet: the verb itself shows what became of each pack
        :param imports: which packs are imported at once; see ``hosting.open_host``
        :raises ConfigError: the configuration cannot be used
        :raises PackError: a pack failed, and ``--strict``
        """
        from ..hosting import open_host, settings_problems  # the engine: not for help

        config = self.config
        set_level("error" if quiet else self.level(config))
        try:
            with self.console.kept():
                host = open_host(
                    config, safe=self.safe, strict=self.strict, keep=self.keep, imports=imports
                )
        finally:
            set_level(self.level(config))
        self.console.redact = host.secrets.redact
        if not quiet:
            for problem in settings_problems(config, host.packs):
                self.warn(f"{problem}; the pack is not loaded")
        return host

    def level(self, config: Config) -> str:
        """Return the log level: a command is quieter than a server unless somebody set it."""
        if self.log_level is not None:
            return self.log_level
        if self.is_server:
            return config.logs.level
        origin = config.provenance.exact(("logs", "level"))
        return "warning" if origin.kind == "default" else config.logs.level

    def warn(self, text: str) -> None:
        """Tell what is worth knowing."""
        if self.is_server:
            _log.warning("%s", text)
        else:
            self.console.warning(text)

    def error(self, text: str) -> None:
        """Tell what went wrong."""
        if self.is_server:
            _log.error("%s", text)
        else:
            self.console.error(text)

    def say(self, text: str, style: str = "", **fields: object) -> None:
        """Tell how it is; the fields are for a record of it."""
        if self.is_server:
            announce(text, **fields)
        else:
            self.console.say(text, style)


pass_session = click.make_pass_decorator(Session)

_Function = TypeVar("_Function", bound=Callable[..., object])


def json_option(help_text: str = "Print one JSON document.") -> Callable[[_Function], _Function]:
    """Give a verb ``--json``; known before anything else can fail."""

    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
        session = context.find_object(Session)
        if session is not None:
            session.as_json = value
        return value

    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, callback=remember, help=help_text
    )
