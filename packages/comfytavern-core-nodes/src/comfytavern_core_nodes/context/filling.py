"""Filling a prompt within its budget: what has to be sent, then the chat, then examples.

The order of paying is part of the behaviour: it decides what is left out when space is short.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..macros import Origin, Text
from .budget import Budget
from .collection import FILLED_ELSEWHERE, MAIN, collect, format_text
from .drafts import Draft
from .examples import EXAMPLES_PART, example_blocks, example_drafts, example_heading
from .inchat import InChatText, insert_in_chat
from .material import Material
from .note import NOTE_PART
from .turns import CHAT_PART, drafts_of

_PAID_FIRST = (
    "worldInfoBefore",
    MAIN,
    "worldInfoAfter",
    "charDescription",
    "charPersonality",
    "scenario",
    "personaDescription",
)
_PAID_NEXT = ("nsfw", "jailbreak")
_PAID_LAST = ("enhanceDefinitions",)
_LAST_MESSAGE = re.compile(r"\{\{lastChatMessage\}\}", re.IGNORECASE)
_NO_ROOM = "did not fit into the context"


class Filling:
    """Fills one prompt. Made for one use."""

    def __init__(self, material: Material) -> None:
        self._material = material
        settings = material.settings
        context, reply = settings.limits(material.preset)
        self.budget = Budget(context, reply, settings.on_overflow, material.journal)
        self._slots = {slot.identifier: slot for slot in collect(material)}
        self._filled: dict[str, list[Draft]] = {identifier: [] for identifier in self._slots}
        self._end: list[Draft] = []

    def messages(self) -> list[Draft]:
        """Return the messages in order; empty ones are among them.

        :raises ContextError: ``token_budget_exceeded``
        """
        control = self._control()
        self._fill_fixed(control)
        steps = [self._fill_chat, self._fill_examples]
        for step in reversed(steps) if self._material.settings.pin_examples else steps:
            step()
        self.budget.free(*control)
        for draft in control:
            self.budget.pay(draft)
        placed = [draft for drafts in self._filled.values() for draft in drafts]
        return [*placed, *self._end, *control]

    def _fill_fixed(self, control: Sequence[Draft]) -> None:
        known = {*_PAID_FIRST, *_PAID_NEXT, *_PAID_LAST, *FILLED_ELSEWHERE}
        custom = [identifier for identifier in self._slots if identifier not in known]
        self._pay_slots(_PAID_FIRST)
        self.budget.take(*control)
        self._pay_slots([*_PAID_NEXT, *custom, *_PAID_LAST])
        self._fill_note()

    def _pay_slots(self, identifiers: Iterable[str]) -> None:
        for identifier in identifiers:
            slot = self._slots.get(identifier)
            if slot is None or slot.in_chat:
                continue
            draft = self._material.meter.draft(slot.role, slot.text, identifier)
            self.budget.pay(draft)
            self._filled[identifier].append(draft)

    def _fill_note(self) -> None:
        note, text = self._material.settings.note, self._material.note
        if note.place == "in_chat" or not text:
            return
        text = self._material.macros.expand_text(text)
        draft = self._material.meter.draft(note.role, text, NOTE_PART)
        self.budget.pay(draft)
        # A preset without main in its order still sends the note, on top of all.
        if MAIN not in self._filled:
            self._filled = {MAIN: [], **self._filled}
        self._filled[MAIN].insert(0 if note.place == "before_main" else 1, draft)

    def _control(self) -> list[Draft]:
        material = self._material
        if material.settings.generation != "impersonate":
            return []
        text = format_text("impersonation_prompt", material.preset.impersonation_prompt, material)
        return [material.meter.draft("system", text, "impersonation")]

    def _fill_chat(self) -> None:
        if CHAT_PART not in self._slots:
            self._drop_chat()
            return
        chat = self._chat_with_insertions()
        opening = self._opening()
        self.budget.take(opening)
        end = self._continuation(chat)
        self.budget.take(*end)
        kept = self._kept(chat)
        self.budget.free(opening)
        self.budget.pay(opening)
        self._filled[CHAT_PART] = [opening, *kept]
        self.budget.free(*end)
        for draft in end:
            self.budget.pay(draft)
        self._end = end

    def _drop_chat(self) -> None:
        if self._material.turns:
            reason = "the preset has no place for the chat"
            self._material.journal.drop(CHAT_PART, reason, messages=len(self._material.turns))

    def _chat_with_insertions(self) -> list[Draft]:
        material = self._material
        chat = drafts_of(
            material.turns, material.preset, material.macros, material.meter, material.user
        )
        return insert_in_chat(chat, self._in_chat_texts(), material.macros, material.meter)

    def _in_chat_texts(self) -> list[InChatText]:
        """Return what stands in the chat; the order among extras is part of the behaviour."""
        material, settings = self._material, self._material.settings
        texts = [
            InChatText(slot.text, slot.depth, slot.role, slot.order)
            for slot in self._slots.values()
            if slot.in_chat and slot.identifier not in FILLED_ELSEWHERE
        ]
        note, persona, own = settings.note, settings.persona, material.card.depth_prompt
        if note.place == "in_chat":
            texts.append(InChatText(material.note, note.depth, note.role, extra=True))
        if own is not None:
            texts.append(InChatText(own.text, own.depth, own.role, extra=True))
        if persona.position == "depth":
            text = Text.of(persona.text, Origin("persona")).without("\r")
            texts.append(InChatText(text, persona.depth, persona.role, extra=True))
        texts += [
            InChatText(each.text, each.depth, each.role, extra=True)
            for each in material.lore.at_depth
        ]
        return texts

    def _opening(self) -> Draft:
        material = self._material
        text = format_text("new_chat_prompt", material.preset.new_chat_prompt, material)
        return replace(material.meter.draft("system", text, "newChat"), alone=True)

    def _continuation(self, chat: list[Draft]) -> list[Draft]:
        """Take the last message out of the chat and return it with the nudge to go on."""
        material = self._material
        if material.settings.generation != "continue" or not material.turns:
            return []
        last = material.turns[-1].text.strip()
        if not last:
            return []
        place = max(number for number, draft in enumerate(chat) if not draft.inserted)
        origin = Origin("preset", "continue_nudge_prompt")
        text = Text.of(material.preset.continue_nudge_prompt, origin)
        text = text.sub(_LAST_MESSAGE, lambda found, at: last, len(text.plain) + 10**7)
        text = material.macros.expand_text(text)
        return [chat.pop(place), material.meter.draft("system", text, "continueNudge")]

    def _kept(self, chat: Sequence[Draft]) -> list[Draft]:
        """Return the newest messages that fit, and what is said in place of an answer."""
        material = self._material
        tail: list[Draft] = []
        if chat and chat[-1].role == "assistant":
            text = format_text("send_if_empty", material.preset.send_if_empty, material)
            reply = material.meter.draft("user", text, "sendIfEmpty")
            if text and self.budget.fits(reply):
                self.budget.take(reply)
                tail = [reply]
        start = len(chat)
        while start and self.budget.fits(chat[start - 1]):
            start -= 1
            self.budget.take(chat[start])
        for part in (CHAT_PART, "inChat"):
            left_out = [draft for draft in chat[:start] if draft.part == part]
            material.journal.drop_drafts(part, _NO_ROOM, left_out)
        return [*chat[start:], *tail]

    def _fill_examples(self) -> None:
        material, settings = self._material, self._material.settings
        texts = example_blocks(material.card.mes_example, material.lore.examples)
        if EXAMPLES_PART not in self._slots or settings.strip_examples:
            if texts:
                material.journal.drop(EXAMPLES_PART, "examples are switched off", blocks=len(texts))
            return
        heading = material.meter.draft(
            "system", example_heading(material.preset, material.macros), EXAMPLES_PART
        )
        heading = replace(heading, alone=True)
        blocks = [
            example_drafts(text, material.user, material.char, settings, material.meter)
            for text in texts
        ]
        blocks = [block for block in blocks if block]
        for number, block in enumerate(blocks):
            if not self.budget.fits(heading, *block):
                left_out = [draft for rest in blocks[number:] for draft in (heading, *rest)]
                material.journal.drop_drafts(EXAMPLES_PART, _NO_ROOM, left_out)
                break
            self.budget.take(heading, *block)
            self._filled[EXAMPLES_PART] += [heading, *block]


def squashed(messages: Iterable[Draft], material: Material) -> list[Draft]:
    """Return the messages with neighbouring system messages joined, separators left alone."""
    result: list[Draft] = []
    for draft in messages:
        if draft.role == "system" and draft.is_empty:
            continue
        if result and _may_join(result[-1]) and _may_join(draft):
            result[-1] = material.meter.joined(result[-1], draft)
        else:
            result.append(draft)
    return result


def _may_join(draft: Draft) -> bool:
    return draft.role == "system" and not draft.name and not draft.alone
