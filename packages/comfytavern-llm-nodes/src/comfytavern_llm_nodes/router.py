"""The service ``llm``: which channel answers a request."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import MappingProxyType

import anyio

from comfytavern.errors import ComfyTavernError, did_you_mean

from .adapters.interface import (
    AdapterFactory,
    EmbeddingAdapter,
    LlmEmbeddings,
    LlmRequest,
    ModelListAdapter,
)
from .calls import LlmCall, OpenChannel
from .channels import Channel
from .direct import DirectAccess
from .images import Images
from .settings import LlmSettings

__all__ = ("DISABLED", "ChannelRouter", "NoChannelError")

DISABLED = "disabled"

_log = logging.getLogger("comfytavern.packs.comfytavern-llm-nodes")


class NoChannelError(ComfyTavernError):
    """No channel in service has what a request needs; the text lists what there is."""

    code = "llm_no_channel"

    def __init__(
        self,
        model: str | None,
        capabilities: Sequence[str],
        known: Iterable[str],
        models: Iterable[str],
        what: str | None = None,
    ) -> None:
        self.model = model
        self.capabilities = tuple(capabilities)
        wanted = [f"model {model!r}"] if model is not None else []
        if capabilities:
            wanted.append("capabilities " + ", ".join(map(repr, capabilities)))
        hint = did_you_mean(model, models) if model is not None else ""
        need = what or " with ".join(wanted) or "anything"
        super().__init__(f"no channel offers {need}{hint}; channels: {'; '.join(known) or 'none'}")


class ChannelRouter:
    """Chooses a channel for each request. Make it while the host loads: it looks for key files.

    ``problems`` says, by label, why a channel is out of service. ``direct`` makes calls to
    addresses in place of channels, ``images`` makes pictures ready to be sent.
    """

    def __init__(self, settings: LlmSettings, adapters: Mapping[str, AdapterFactory]) -> None:
        self._open: list[OpenChannel] = []
        self._known: list[str] = []
        problems: dict[str, str] = {}
        for channel in settings.channels:
            problem = self._add(channel, adapters)
            if problem is not None:
                problems[channel.label] = problem
            self._known.append(_describe(channel, problem))
        for rejected in settings.rejected:
            _log.error("channel %r is left out: %s", rejected.label, rejected)
            self._known.append(f"{rejected.label!r} is left out ({rejected})")
            taken = any(channel.label == rejected.label for channel in settings.channels)
            problems[rejected.key if taken else rejected.label] = str(rejected)
        self.problems: Mapping[str, str] = MappingProxyType(problems)
        self.direct = DirectAccess(settings.api_settings, self._open)
        self.images = Images(settings.images)

    def call(self, request: LlmRequest, capabilities: Sequence[str] = ()) -> LlmCall:
        """Route a request to the first channel that has the capabilities and the model.

        A request without a model gets the channel's first one. Nothing is sent yet.

        :raises NoChannelError: there is no such channel
        """
        for candidate in self._open:
            if candidate.fits(request.model, capabilities):
                return LlmCall(
                    candidate, replace(request, model=candidate.model_for(request.model))
                )
        raise self._nobody(request.model, capabilities)

    async def embed(
        self, texts: Sequence[str], model: str | None = None, capabilities: Sequence[str] = ()
    ) -> tuple[str, LlmEmbeddings]:
        """Return the label of the first channel that fits, and its vector for each text.

        Waits while the channel has as many requests under way as it may have. Safe to cancel.

        :raises NoChannelError: there is no such channel
        :raises LlmError: the request failed
        """
        for candidate in self._open:
            adapter = candidate.adapter
            if candidate.fits(model, capabilities) and isinstance(adapter, EmbeddingAdapter):
                async with candidate.slots or nullcontext():
                    made = await adapter.embed(texts, candidate.model_for(model))
                return candidate.channel.label, made
        raise self._nobody(model, [*capabilities])

    async def list_models(self, label: str | None = None) -> tuple[str, Sequence[str]]:
        """Return the label of a channel, and the models that its server names.

        :param label: which channel; without it, the first that can say
        :raises NoChannelError: there is no such channel in service, or it cannot say
        :raises LlmError: the request failed
        """
        for candidate in self._open:
            if label in (None, candidate.channel.label):
                adapter = candidate.adapter
                if isinstance(adapter, ModelListAdapter):
                    return candidate.channel.label, await adapter.list_models()
        what = "a list of models" + (f" as channel {label!r}" if label else "")
        raise self._nobody(None, (), what)

    async def close(self) -> None:
        """Close every channel's connections. Calling it twice changes nothing."""
        for opened in self._open:
            await opened.adapter.close()
        await self.direct.close()

    def _nobody(
        self, model: str | None, capabilities: Sequence[str], what: str | None = None
    ) -> NoChannelError:
        models_known = {model for opened in self._open for model in opened.channel.models}
        return NoChannelError(model, capabilities, self._known, sorted(models_known), what)

    def _add(self, channel: Channel, adapters: Mapping[str, AdapterFactory]) -> str | None:
        if channel.disabled:
            return DISABLED
        factory = adapters.get(channel.adapter)
        if factory is None:
            hint = did_you_mean(channel.adapter, adapters)
            problem = (
                f"adapter {channel.adapter!r} is unknown{hint}; adapters: {', '.join(adapters)}"
            )
        else:
            problem = channel.secret_problem() or ""
        if factory is not None and not problem:
            try:
                adapter = factory(channel)
            except Exception as exc:  # of another pack: whatever it raises, the others work
                problem = (
                    str(exc) if isinstance(exc, ValueError) else f"{type(exc).__name__}: {exc}"
                )
            else:
                limit = channel.max_concurrent
                slots = None if limit is None else anyio.Semaphore(limit)
                self._open.append(OpenChannel(channel, adapter, slots))
                return None
        _log.warning("channel %r is out of service: %s", channel.label, problem)
        return problem


def _describe(channel: Channel, problem: str | None) -> str:
    if problem is not None:
        return f"{channel.label!r} is out of service ({problem})"
    models = ", ".join(channel.models) or "any"
    return f"{channel.label!r} offers {', '.join(channel.capabilities)} (models: {models})"
