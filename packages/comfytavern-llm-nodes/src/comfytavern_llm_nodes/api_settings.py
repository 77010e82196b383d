"""What the node APISettings hands on: whose address and key a request is to use.

Either the operator's, both of them, or those that a workflow typed, both of them. Never the
operator's key with an address that a workflow chose, and no reference in a workflow is ever
resolved: it is refused, and that is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from comfytavern.errors import ComfyTavernError
from comfytavern.types import describe_value

from .channels import base_url
from .credentials import HIDDEN, RequestHeaders, Secret, SecretError

__all__ = ("ApiSettings", "ApiSettingsError", "BoundKey")

# How configurations, shells and vaults write "look it up": none of it is looked up here.
_REFERENCE = re.compile(
    r"(?:env|environ|environment|file|path|secrets?|vault|keyring|channel|ref|op):"
    r"|\$|%\w+%$|\{\{|<%|@[/.~]",
    re.IGNORECASE,
)

TYPED_KEY = (
    "a key is typed into this workflow: whoever gets the workflow has the key, and the host may"
    " store it; let the operator keep it instead (use_env_vars)"
)


class ApiSettingsError(ComfyTavernError, ValueError):
    """API settings are refused; the text names no key."""

    code = "llm_api_settings_refused"


class BoundKey:
    """A key that a workflow brought along, and the only address that it is sent to.

    It shows itself as ``<secret>``, and can be neither copied nor stored.
    """

    __slots__ = ("_secret", "base_url")

    def __init__(self, secret: Secret, address: str) -> None:
        self._secret = secret
        self.base_url = address

    def headers_for(self, address: str) -> RequestHeaders:
        """Return the headers of a request to ``address``.

        :raises ApiSettingsError: the key is bound to another address
        """
        if address != self.base_url:
            raise ApiSettingsError(
                f"the key was typed beside {self.base_url} and is not sent to {address}"
            )
        return RequestHeaders().with_key(self._secret)

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> str:
        raise TypeError("a key is not copied or stored")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Whose address and key: the operator's, or these. ``key`` is bound to ``base_url``."""

    base_url: str | None = None
    key: BoundKey | None = None

    @classmethod
    def typed(cls, address: object, key: object, warn: Callable[[str], object]) -> ApiSettings:
        """Return settings of an address and a key that a workflow brings.

        :param warn: is told that there is a key
        :raises ApiSettingsError: there is no address, or one of them is a reference
        """
        if not isinstance(address, str) or not address.strip():
            raise ApiSettingsError(
                "base_url is empty; expected an address such as https://api.example/v1,"
                " or use_env_vars for the operator's"
            )
        try:
            checked = base_url(address)
        except ValueError as exc:
            raise ApiSettingsError(f"base_url: {exc}") from None
        if isinstance(key, BoundKey):
            key.headers_for(checked)
            return cls(checked, key)
        secret = _typed_secret(key)
        if secret is None:
            return cls(checked)
        warn(TYPED_KEY)
        return cls(checked, BoundKey(secret, checked))

    @classmethod
    def read(cls, value: object, warn: Callable[[str], object]) -> ApiSettings:
        """Return the settings in an input ``api_settings``.

        :raises ApiSettingsError: it holds something else, or pairs what must not be paired
        """
        if not isinstance(value, Mapping):
            raise ApiSettingsError(
                f"api_settings is {describe_value(value)}; expected what APISettings gives"
            )
        address, key = value.get("base_url"), value.get("api_key")
        if value.get("use_env_vars") is not True:
            return cls.typed(address, key, warn)
        if address or key:
            raise ApiSettingsError(
                "api_settings pairs the operator's settings with an address or a key of its own;"
                " both come from the operator, or both from the workflow"
            )
        return cls()

    def to_value(self) -> dict[str, object]:
        """Return the settings as an edge carries them."""
        if self.base_url is None:
            return {"use_env_vars": True}
        key = {} if self.key is None else {"api_key": self.key}
        return {"use_env_vars": False, "base_url": self.base_url, **key}


def _typed_secret(key: object) -> Secret | None:
    if key is None or (isinstance(key, str) and not key.strip()):
        return None
    if not isinstance(key, str):
        raise ApiSettingsError(f"api_key is {describe_value(key)}; expected a text")
    if _REFERENCE.match(key.strip()):
        raise ApiSettingsError(
            "api_key is a reference, and no reference in a workflow is resolved: it would hand the"
            " operator's secrets to whoever wrote the workflow; use_env_vars takes the operator's"
            " key with the operator's address"
        )
    try:
        return Secret.for_header(key, "api_key")
    except SecretError as exc:
        raise ApiSettingsError(str(exc)) from None
