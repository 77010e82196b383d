"""TestWidgets: one of every widget, for whoever builds or tests an editor."""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeAction, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

__all__ = ("TEST_WIDGETS",)

_CODE = "function greet(name) {\n  console.log(`Good evening, ${name}!`);\n}\n\ngreet('Traveller');"
_PREVIEW = NodeAction(
    id="preview", icon="eye", tooltip="Show it rendered", handler_type="builtin_preview"
)
_EDITOR = NodeAction(
    id="edit", icon="pencil", tooltip="Open in the editor", handler_type="builtin_editor"
)

_WIDGETS: Mapping[str, InputDefinition] = {
    "string_input": InputDefinition(
        display_name="Line of text",
        description="A text field of one line.",
        data_flow_type=DataFlowType.STRING,
        config={"default": "a line of text", "multiline": False, "placeholder": "one line"},
    ),
    "text_input": InputDefinition(
        display_name="Text",
        description="A text field of many lines.",
        data_flow_type=DataFlowType.STRING,
        match_categories=(MatchCategory.UI_BLOCK, MatchCategory.CAN_PREVIEW),
        config={"default": "two\nlines", "multiline": True, "placeholder": "many lines"},
        actions=(_PREVIEW, _EDITOR),
    ),
    "markdown_input": InputDefinition(
        display_name="Markdown",
        description="A Markdown editor with a preview.",
        data_flow_type=DataFlowType.STRING,
        match_categories=(
            MatchCategory.MARKDOWN,
            MatchCategory.CAN_PREVIEW,
            MatchCategory.UI_BLOCK,
        ),
        config={
            "default": "# The menu\n\n- *stew*\n- **bread**\n",
            "multiline": True,
            "languageHint": "markdown",
        },
        actions=(_PREVIEW, _EDITOR),
    ),
    "int_input": InputDefinition(
        display_name="Whole number",
        description="A whole number with bounds; a slider where the editor has one.",
        data_flow_type=DataFlowType.INTEGER,
        config={"default": 10, "min": 0, "max": 100, "step": 1},
    ),
    "float_input": InputDefinition(
        display_name="Number",
        description="A number with bounds and a fine step.",
        data_flow_type=DataFlowType.FLOAT,
        config={"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01},
    ),
    "boolean_toggle": InputDefinition(
        display_name="Yes or no",
        description="A switch.",
        data_flow_type=DataFlowType.BOOLEAN,
        config={"default": True},
    ),
    "combo_select": InputDefinition(
        display_name="Choice",
        description="One of several texts.",
        data_flow_type=DataFlowType.STRING,
        match_categories=(MatchCategory.COMBO_OPTION,),
        config={"default": "ale", "suggestions": ["ale", "cider", "tea"]},
    ),
    "json_input": InputDefinition(
        display_name="JSON",
        description="A JSON editor with a viewer.",
        data_flow_type=DataFlowType.OBJECT,
        match_categories=(MatchCategory.JSON, MatchCategory.CAN_PREVIEW, MatchCategory.UI_BLOCK),
        config={"default": {"table": 4, "guests": ["Ann", "Bo"]}, "languageHint": "json"},
        actions=(_PREVIEW, _EDITOR),
    ),
    "javascript_code_input": InputDefinition(
        display_name="JavaScript",
        description="A code editor. The code is only a text here; nothing runs it.",
        data_flow_type=DataFlowType.STRING,
        match_categories=(MatchCategory.CODE, "JavaScript", MatchCategory.CAN_PREVIEW),
        config={"default": _CODE, "multiline": True, "languageHint": "javascript"},
        actions=(_EDITOR,),
    ),
    "button": InputDefinition(
        display_name="Button",
        description="A button; pressing it sends a message and gives no value.",
        data_flow_type=DataFlowType.WILDCARD,
        match_categories=(MatchCategory.TRIGGER,),
        config={"label": "Press me"},
    ),
    "string_with_suggestions": InputDefinition(
        display_name="Text with suggestions",
        description="Any text; some are offered.",
        data_flow_type=DataFlowType.STRING,
        config={
            "default": "stew",
            "placeholder": "type or choose",
            "suggestions": ["stew", "bread", "cheese"],
        },
    ),
    "int_with_suggestions": InputDefinition(
        display_name="Whole number with suggestions",
        description="Any whole number within the bounds; some are offered.",
        data_flow_type=DataFlowType.INTEGER,
        config={
            "default": 512,
            "min": 64,
            "max": 4096,
            "step": 64,
            "suggestions": [256, 512, 1024, 2048],
        },
    ),
    "float_with_suggestions": InputDefinition(
        display_name="Number with suggestions",
        description="Any number within the bounds; some are offered.",
        data_flow_type=DataFlowType.FLOAT,
        config={
            "default": 7.5,
            "min": 0.0,
            "max": 15.0,
            "step": 0.5,
            "suggestions": [1.0, 5.0, 7.5, 10.0, 12.5],
        },
    ),
}

# The button is missing: it sends a message and has no value to give.
_OUTPUT_OF: Mapping[str, str] = {
    "string_input": "string_output",
    "text_input": "text_output",
    "markdown_input": "markdown_output",
    "int_input": "int_output",
    "float_input": "float_output",
    "boolean_toggle": "boolean_output",
    "combo_select": "combo_output",
    "json_input": "json_output",
    "javascript_code_input": "javascript_code_output",
    "string_with_suggestions": "string_with_suggestions_output",
    "int_with_suggestions": "int_with_suggestions_output",
    "float_with_suggestions": "float_with_suggestions_output",
}


async def _give_values(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    return {output: inputs[name] for name, output in _OUTPUT_OF.items() if name in inputs}


def _output(name: str) -> OutputDefinition:
    widget = _WIDGETS[name]
    kinds = (MatchCategory.MARKDOWN, MatchCategory.JSON, MatchCategory.CODE)
    return OutputDefinition(
        display_name=widget.display_name,
        description=f"The value of {widget.display_name!r}.",
        data_flow_type=widget.data_flow_type,
        match_categories=tuple(kind for kind in kinds if kind in widget.match_categories),
    )


TEST_WIDGETS = NodeDefinition(
    type="TestWidgets",
    category="Utilities",
    display_name="Test Widgets",
    description="One of every input widget; each value goes to the output of its name.",
    width=320,
    inputs=dict(_WIDGETS),
    outputs={output: _output(name) for name, output in _OUTPUT_OF.items()},
    idempotent=True,
    execute=_give_values,
)
