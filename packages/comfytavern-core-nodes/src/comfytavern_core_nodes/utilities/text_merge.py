"""TextMerge: many texts into one, with a separator between them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType

from .text import as_text

__all__ = ("TEXT_MERGE",)

# The separator is typed into one line, where Enter cannot be typed: two characters stand for it.
_DEFAULT_SEPARATOR = "\\n"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_ESCAPE = re.compile(r"\\([ntr\\])")


async def _merge(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    texts = inputs.get("text_inputs", [])
    items = texts if isinstance(texts, list | tuple) else [texts]
    separator = _unescape(as_text(inputs.get("separator", _DEFAULT_SEPARATOR)))
    return {"merged_text": separator.join(as_text(item) for item in items)}


def _unescape(text: str) -> str:
    # One pass from the left, so that an escaped backslash never joins the letter behind it.
    return _ESCAPE.sub(lambda found: _ESCAPES[found[1]], text)


TEXT_MERGE = NodeDefinition(
    type="TextMerge",
    category="Utilities",
    display_name="Merge Text",
    description="Joins all connected texts, in the order of their connections, with a separator.",
    inputs={
        "text_inputs": InputDefinition(
            display_name="Texts",
            description="The texts to join; as many connections as wanted. What is null counts"
            " as empty, numbers and booleans are printed, structures become JSON.",
            data_flow_type=DataFlowType.STRING,
            multi=True,
            config={"multiline": True, "placeholder": "text to join"},
        ),
        "separator": InputDefinition(
            display_name="Separator",
            description=r"Stands between two texts. \n is a line break, \t a tab, \r a carriage"
            r" return, \\ a backslash.",
            data_flow_type=DataFlowType.STRING,
            config={
                "default": _DEFAULT_SEPARATOR,
                "suggestions": ["\\n", "\\n\\n", ", ", " ", ""],
                "placeholder": "\\n",
            },
        ),
    },
    outputs={
        "merged_text": OutputDefinition(
            display_name="Merged text",
            description="All texts as one.",
            data_flow_type=DataFlowType.STRING,
        )
    },
    idempotent=True,
    execute=_merge,
)
