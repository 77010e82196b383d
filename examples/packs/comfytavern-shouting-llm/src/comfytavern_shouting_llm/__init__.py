"""A pack that adds an LLM adapter: the hook, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from comfytavern import hookimpl


# Optional, because the hook is one of comfytavern-llm-nodes, which may not be loaded.
@hookimpl(optionalhook=True)
def register_llm_adapters() -> Mapping[str, Callable[..., Any]]:  # Any: an LlmAdapter
    """Contribute the adapter ``shouting``; a channel names it as ``adapter``."""
    from .adapter import ShoutingAdapter  # it needs comfytavern-llm-nodes; this module does not

    return {"shouting": ShoutingAdapter}
