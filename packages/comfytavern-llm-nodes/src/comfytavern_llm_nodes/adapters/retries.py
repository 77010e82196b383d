"""Sending a request again: when that may help, and how long to wait before."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from math import isfinite
from typing import TypeVar

import anyio
import httpx

from comfytavern.errors import ComfyTavernError

from ..channels import Retries
from .interface import LlmError

__all__ = ("Clock", "retry_after", "with_retries")

Answer = TypeVar("Answer")

_log = logging.getLogger("comfytavern.packs.comfytavern-llm-nodes")
# Busy, overloaded, or a proxy that lost the server; 529 is Anthropic's "overloaded".
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_PASSING_ERRORS = (
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
)


@dataclass(frozen=True, slots=True)
class Clock:
    """What waits are made of; a test brings its own."""

    sleep: Callable[[float], Awaitable[None]] = anyio.sleep  # noqa: TID251 - waits are real here
    random: Callable[[], float] = random.random
    now: Callable[[], float] = time.time


async def with_retries(
    once: Callable[[], Awaitable[Answer]], retries: Retries, clock: Clock
) -> Answer:
    """Return what ``once`` returns; after a failure that may pass, try again.

    Only for what brings nothing before it is complete: nothing is ever sent twice to a reader.

    :raises LlmError: it cannot pass, or the last attempt failed
    """
    for number in count(1):
        try:
            return await once()
        except LlmError as exc:
            wait = _wait(exc, number, retries, clock.random)
            if wait is None:
                if number == 1:
                    raise
                raise _counted(exc, number) from exc.__cause__
            failed = exc
        _log.warning("%s; trying again in %.1f s", failed, wait)
        await clock.sleep(wait)
    raise AssertionError("counting does not end")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds the headers ask to wait; None if they do not."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) / unit
        except ValueError:
            seconds = _until(text, now)
        if isfinite(seconds):
            return max(0.0, seconds)
    return None


def _until(text: str, now: float) -> float:
    try:
        return parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return float("nan")


def _wait(
    error: LlmError, number: int, retries: Retries, chance: Callable[[], float]
) -> float | None:
    """Return how long to wait before the next attempt; None if there is none."""
    cause = error.__cause__
    passing = error.status in _PASSING or isinstance(cause, _PASSING_ERRORS)
    # The host's own refusal of an address is an error of the connection, too.
    if number >= retries.attempts or not passing or isinstance(cause, ComfyTavernError):
        return None
    # Jitter, so that requests which failed together do not come back together.
    step = min(retries.wait * 2.0 ** (number - 1), retries.longest_wait)
    asked = error.retry_after
    if asked is None:
        return step * (0.5 + chance() / 2)
    if asked > retries.longest_wait:
        return None
    return asked + min(step, 1.0) * chance() / 4


def _counted(error: LlmError, attempts: int) -> LlmError:
    return LlmError(
        error.channel,
        f"{error.reason} (attempt {attempts})",
        model=error.model,
        status=error.status,
        provider_message=error.provider_message,
        retry_after=error.retry_after,
    )
