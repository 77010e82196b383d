"""Every node definition of the pack, in the order in which an editor lists them.

This module loads with the pack, so whatever it imports must stay light: nodes that need PIL,
YAML or pydantic models of their own name their code as text and load it when they first run.
"""

from __future__ import annotations

from comfytavern.definitions import NodeDefinition

from .io.group_input import GROUP_INPUT
from .io.group_output import GROUP_OUTPUT
from .io.node_group import NODE_GROUP
from .loaders.definitions import (
    CHARACTER_CARD_LOADER,
    HISTORY_LOADER,
    PRESET_LOADER,
    REGEX_RULE_LOADER,
    WORLD_BOOK_LOADER,
)
from .processors.definitions import APPLY_REGEX, CONTEXT_BUILDER
from .utilities.collect import COLLECT
from .utilities.constants import CONSTANTS
from .utilities.math_operation import MATH_OPERATION
from .utilities.random_number import RANDOM_NUMBER
from .utilities.stream_logger import STREAM_LOGGER
from .utilities.stream_suffix_relay import STREAM_SUFFIX_RELAY
from .utilities.switch import SWITCH
from .utilities.text_merge import TEXT_MERGE
from .utilities.widgets import TEST_WIDGETS

_DEFINITIONS = (
    GROUP_INPUT,
    GROUP_OUTPUT,
    NODE_GROUP,
    CHARACTER_CARD_LOADER,
    WORLD_BOOK_LOADER,
    PRESET_LOADER,
    HISTORY_LOADER,
    REGEX_RULE_LOADER,
    APPLY_REGEX,
    CONTEXT_BUILDER,
    TEXT_MERGE,
    *CONSTANTS,
    MATH_OPERATION,
    SWITCH,
    RANDOM_NUMBER,
    COLLECT,
    STREAM_LOGGER,
    STREAM_SUFFIX_RELAY,
    TEST_WIDGETS,
)


def definitions() -> tuple[NodeDefinition, ...]:
    """Return the definitions; they are frozen and may be shared between hosts."""
    return _DEFINITIONS
