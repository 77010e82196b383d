"""The block ``packs.settings.comfytavern-llm-nodes``.

A channel that does not fit is left out with what is wrong with it, and the others work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from .channels import Channel, SettingsBlock, base_url
from .credentials import SecretField

__all__ = ("ImageLimits", "LlmSettings", "OperatorApi", "RejectedChannel")

_BLOCK = "packs.settings.comfytavern-llm-nodes"


@dataclass(frozen=True, slots=True)
class RejectedChannel:
    """A channel that does not fit; ``problems`` names the key of each mistake."""

    label: str
    key: str
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.problems)


class OperatorApi(SettingsBlock):
    """What the node APISettings stands for with ``use_env_vars``.

    Without an address of its own that is OPENAI_API_BASE with OPENAI_API_KEY; with one, only
    the key that stands beside it is sent there.
    """

    base_url: str | None = Field(None, description="in place of OPENAI_API_BASE")
    api_key: SecretField | None = Field(None, description="env:NAME or file:PATH")
    secret: str | None = Field(None, description="an entry of `secrets:` that holds the key")

    @field_validator("base_url")
    @classmethod
    def _url_is_plain(cls, value: str | None) -> str | None:
        return None if value is None else base_url(value)

    @model_validator(mode="after")
    def _one_key_for_one_address(self) -> OperatorApi:
        if self.api_key is not None and self.secret is not None:
            raise ValueError("api_key and secret are two keys; expected one of them")
        if self.base_url is None and self.api_key is not None:
            raise ValueError("api_key needs base_url beside it, the only address it is sent to")
        return self


class ImageLimits(SettingsBlock):
    """What pictures may cost; a larger one is refused or made smaller."""

    max_bytes: int = Field(20 * 1024**2, ge=1, description="of the file")
    max_pixels: int = Field(25_000_000, ge=1, description="of the file; it is refused above")
    max_side: int = Field(2048, ge=16, description="of what is sent, in pixels; scaled down to it")
    quality: int = Field(90, ge=1, le=95, description="of what is sent as JPEG")
    addresses: bool = Field(
        False, description="hand web addresses of pictures on; the provider fetches them"
    )


def _echo_only() -> tuple[Channel, ...]:
    return (Channel(label="echo", adapter="echo"),)


class LlmSettings(SettingsBlock):
    """The settings of the pack. ``rejected`` holds the channels that do not fit."""

    channels: tuple[Channel, ...] = Field(
        default_factory=_echo_only,
        description="tried in this order; without any, the offline echo model is the only one",
    )
    api_settings: OperatorApi = Field(default_factory=OperatorApi)
    images: ImageLimits = Field(default_factory=ImageLimits)

    _rejected: tuple[RejectedChannel, ...] = PrivateAttr(())

    @property
    def rejected(self) -> tuple[RejectedChannel, ...]:
        """The channels that were left out."""
        return self._rejected

    @model_validator(mode="wrap")
    @classmethod
    def _leave_out_what_does_not_fit(
        cls,
        data: Any,  # Any: what the operator wrote
        handler: ModelWrapValidatorHandler[LlmSettings],
    ) -> LlmSettings:
        listed = data.get("channels", ()) if isinstance(data, Mapping) else None
        if listed is None and isinstance(data, Mapping):  # a list with everything commented out
            listed = ()
        if not isinstance(listed, list | tuple):
            return handler(data)
        fitting, rejected = _sorted_out(listed)
        # All of them left out is not none written: no channel answers then, echo neither.
        settings = handler({**data, "channels": fitting if listed else _echo_only()})
        settings._rejected = tuple(rejected)
        return settings


def _sorted_out(
    listed: list[object] | tuple[object, ...],
) -> tuple[list[Channel], list[RejectedChannel]]:
    fitting: dict[str, Channel] = {}
    rejected: list[RejectedChannel] = []
    for number, item in enumerate(listed):
        key = f"{_BLOCK}.channels[{number}]"
        try:
            channel = item if isinstance(item, Channel) else Channel.model_validate(item)
        except ValidationError as exc:
            rejected.append(RejectedChannel(_label(item), key, _problems(key, exc)))
            continue
        if channel.label in fitting:
            problem = f"{key}.label: an earlier channel has this label; a label names one channel"
            rejected.append(RejectedChannel(channel.label, key, (problem,)))
            continue
        fitting[channel.label] = channel
    return list(fitting.values()), rejected


def _label(item: object) -> str:
    label = item.get("label") if isinstance(item, Mapping) else None
    return label if isinstance(label, str) and label else "without label"


def _problems(key: str, error: ValidationError) -> tuple[str, ...]:
    # What was written stays out of the text: it may be a key.
    found = error.errors(include_input=False, include_url=False, include_context=False)
    problems = []
    for problem in found:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{key}{where}: {text[:1].lower()}{text[1:]}")
    return tuple(dict.fromkeys(problems))
