"""The code of ContextBuilder; imported when such a node first runs.

Its slots are final, its builder is the plain one: presets, world books, regex rules and the card's
own book are accepted and not used yet. The report names each of them, so that nobody takes the
messages for more than they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..context.plain import build_messages, history_from

__all__ = ("build_context",)

_BUILDER = "plain"
_UNUSED_INPUTS = ("presetData", "worldBookData", "regexRules")
_UNUSED_CARD_FIELDS = ("character_book", "depth_prompt", "regex_scripts")


def build_context(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    """Build the messages. A plain function: the engine runs it in a thread, as chats get long.

    :raises ValueError: the history does not hold messages; the text names the message
    """
    used: list[str] = []
    warnings: list[str] = []
    card = _card(inputs, context, used, warnings)
    history = history_from(inputs.get("historyMessages"))
    if history:
        used.append("historyMessages")
    if message := _text(inputs, context, "user_message", used):
        history.append({"role": "user", "content": message})
    user_name = _text(inputs, context, "user_name", used) or "User"
    messages = build_messages(card, history, user_name)
    unused = _unused(inputs, card)
    for entry in unused:
        context.log.warning("%s is not used: %s", entry["input"], entry["reason"])
    report = {
        "builder": _BUILDER,
        "messageCount": len(messages),
        "used": used,
        "unused": unused,
        "warnings": warnings,
    }
    state = inputs.get("state")
    return {
        "finalMessages": messages,
        "report": report,
        "state": {} if state is None else state,
    }


def _card(
    inputs: Mapping[str, object], context: NodeContext, used: list[str], warnings: list[str]
) -> Mapping[str, object] | None:
    card = inputs.get("characterData")
    if card is None:
        return None
    if not isinstance(card, Mapping):
        raise TypeError(f"input 'characterData' is {describe_value(card)}; expected a card")
    if not card.get("name"):
        warnings.append("characterData has no name; expected a card as a card loader gives it")
    used.append("characterData")
    index = context.config.get("greeting_index") or 0
    if index == 0:
        return card
    alternates = card.get("alternate_greetings")
    count = len(alternates) if isinstance(alternates, list) else 0
    if not isinstance(alternates, list) or not isinstance(index, int) or index > count:
        warnings.append(f"there is no greeting {index}; the card has 0 to {count}, 0 is used")
        return card
    return {**card, "first_mes": alternates[index - 1]}


def _text(inputs: Mapping[str, object], context: NodeContext, name: str, used: list[str]) -> str:
    value = inputs.get(name)
    if value is None:
        value = context.config.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{name!r} is {describe_value(value)}; expected text")
    if value.strip():
        used.append(name)
    return value.strip()


def _unused(
    inputs: Mapping[str, object], card: Mapping[str, object] | None
) -> list[dict[str, str]]:
    reason = f"the {_BUILDER} builder does not use it yet"
    unused = [{"input": name, "reason": reason} for name in _UNUSED_INPUTS if inputs.get(name)]
    if inputs.get("state"):
        unused.append({"input": "state", "reason": f"{reason}; it is given on unchanged"})
    fields = [field for field in _UNUSED_CARD_FIELDS if card is not None and card.get(field)]
    unused += [{"input": f"characterData.{field}", "reason": reason} for field in fields]
    return unused
