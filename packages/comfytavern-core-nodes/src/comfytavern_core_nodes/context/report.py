"""Why a prompt is as it is: plain JSON, made from what the assembly carried along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..macros import Text
from .budget import Budget
from .drafts import Draft
from .material import Material


def message_json(draft: Draft) -> dict[str, object]:
    """Return a message as it is sent."""
    content: object = list(draft.content_parts) if draft.content_parts else draft.text.plain
    message: dict[str, object] = {"role": draft.role, "content": content}
    if draft.name:
        message["name"] = draft.name
    return message


def report_json(
    material: Material, budget: Budget, filled: Sequence[Draft], sent: Sequence[Draft]
) -> dict[str, object]:
    """Return the report of a context.

    :param filled: the messages as they were paid for
    :param sent: the same, with neighbours joined if the preset says so
    """
    context, reply = material.settings.limits(material.preset)
    used = sum(draft.tokens for draft in sent)
    return {
        "type": material.settings.generation,
        "tokens": {
            "max_context": context,
            "max_tokens": reply,
            "budget": budget.total,
            "used": used,
            "left": budget.total - used,
            "parts": _parts(filled),
        },
        "messages": [_message(number, draft) for number, draft in enumerate(sent)],
        "dropped": material.journal.dropped,
        "world_info": material.lore.records,
        "warnings": [*material.journal.warnings, *material.lore.warnings],
    }


def _parts(drafts: Iterable[Draft]) -> list[dict[str, object]]:
    messages: dict[str, list[Draft]] = {}
    for draft in drafts:
        messages.setdefault(draft.part, []).append(draft)
    return [
        {"part": part, "messages": len(members), "tokens": sum(each.tokens for each in members)}
        for part, members in messages.items()
    ]


def _message(number: int, draft: Draft) -> dict[str, object]:
    message: dict[str, object] = {
        "index": number,
        "role": draft.role,
        "parts": [draft.part, *draft.more_parts],
        "tokens": draft.tokens,
        "spans": _spans(draft.text),
    }
    if draft.name:
        message["name"] = draft.name
    return message


def _spans(text: Text) -> list[dict[str, object]]:
    """Return the stretches of a text with their origins; the ends count code points."""
    spans: list[dict[str, object]] = []
    before, end = None, 0
    for piece, origin in text.pieces:
        end += len(piece)
        if origin == before:
            spans[-1]["end"] = end
        else:
            spans.append({"start": end - len(piece), "end": end, **origin.to_json()})
        before = origin
    return spans
