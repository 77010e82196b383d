"""The token of the server, as the configuration refers to it."""

from __future__ import annotations

from ..config import Config, ConfigError, Problem, SecretUnresolvedError

__all__ = ("server_token",)


def server_token(config: Config) -> str | None:
    """Fetch the token; None if the server needs none.

    :raises ConfigError: the reference leads nowhere
    """
    if config.server.token is None:
        return None
    try:
        return config.server.token.resolve().reveal()
    except SecretUnresolvedError as exc:
        key = "server.token"
        origin = config.provenance.nearest(("server", "token"))
        raise ConfigError([Problem(f"key {key!r}: {exc}", origin, key)]) from None
