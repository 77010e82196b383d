"""From everything that is connected to the messages to send: the one place where it all meets."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from ..histories import ChatMessage
from ..macros import Macros, Origin, Said, Scene, Text, TextTooLongError
from ..macros.scene import utc_now
from ..presets.model import NO_PRESET, Preset
from ..worldbooks import ScanSettings
from .books import Look, books_of, lore_of
from .card import CardTexts, char_name, field_text, greeting_of, texts_of, with_card_macros
from .drafts import Meter, TokenCounter, estimate_tokens
from .errors import ContextError
from .filling import Filling, squashed
from .journal import Journal
from .lore import Lore
from .material import Material
from .note import due_note, is_due, note_text
from .report import message_json, report_json
from .scripts import RegexEngine, Scripts, WorkerEngine, rules_of
from .settings import ContextSettings
from .turns import Turn, changed_turns, turns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRequest:
    """Everything one context is made of; each part may be missing.

    :param books: world books for all characters; the card's own one joins them
    :param state: what the context of the chat's last turn gave as its state
    :param rules: regex rules and scripts; those of the card come behind them
    :param regexes: what runs expressions; without one the worker process, which can be reached
        only from a thread that anyio started
    """

    card: Mapping[str, object] = field(default_factory=dict)
    preset: Preset = NO_PRESET
    history: Sequence[ChatMessage] = ()
    user_message: str = ""
    settings: ContextSettings = field(default_factory=ContextSettings)
    books: Sequence[object] = ()
    scan: ScanSettings = field(default_factory=ScanSettings)
    state: Mapping[str, object] = field(default_factory=dict)
    rules: Sequence[object] = ()
    regexes: RegexEngine | None = None
    count_tokens: TokenCounter = estimate_tokens
    random: Callable[[], float] = random.random
    clock: Callable[[], datetime] = utc_now
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class BuiltContext:
    """The messages to send, why they are as they are, and what the next turn has to know."""

    messages: list[dict[str, object]]
    report: dict[str, object]
    state: dict[str, object]
    warnings: tuple[str, ...]


def build_context(request: ContextRequest) -> BuiltContext:
    """Build the messages for a chat model.

    Pure but for the clock and the random source of the request; may be called from any thread.

    :raises ContextError: what must be sent does not fit, or macros make a text too long
    :raises RuleError: a regex rule cannot be applied
    :raises WorldBookError: a connected world book is none
    """
    own = WorkerEngine()
    try:
        return _Build(request, request.regexes or own).result()
    except TextTooLongError as exc:
        raise ContextError("text_too_long", str(exc)) from exc
    finally:
        own.close()


class _Build:
    """One build, in the order in which the parts need each other."""

    def __init__(self, request: ContextRequest, engine: RegexEngine) -> None:
        self._request = request
        self._engine = engine
        self._settings = request.settings
        self._journal = Journal()
        self._char = char_name(request.card)
        if request.card and not self._char:
            self._journal.warn(
                "characterData has no name; expected a card as a card loader gives it"
            )
        base = self._base_macros()
        self._card, self._macros = self._card_texts(base)
        rules = rules_of(request.rules, request.card, self._journal)
        self._scripts = Scripts(rules, self._engine, self._macros)
        self._turns = changed_turns(self._said(), self._macros, self._scripts)

    def result(self) -> BuiltContext:
        request, settings = self._request, self._settings
        lore = self._lore()
        note = due_note(settings.note, settings.persona, lore, self._turns, self._journal)
        material = Material(
            user=settings.user_name,
            char=self._char,
            card=self._card,
            preset=request.preset,
            settings=settings,
            turns=self._turns,
            note=note,
            lore=lore,
            macros=self._macros,
            meter=Meter(request.count_tokens),
            journal=self._journal,
        )
        filling = Filling(material)
        filled = filling.messages()
        squash = settings.squash_system
        if squash is None:
            squash = request.preset.squash_system_messages
        sent = squashed(filled, material) if squash else filled
        filled = [draft for draft in filled if not draft.is_empty]
        sent = [draft for draft in sent if not draft.is_empty]
        report = report_json(material, filling.budget, filled, sent)
        warnings = (*self._journal.warnings, *lore.warnings)
        messages = [message_json(draft) for draft in sent]
        return BuiltContext(messages, report, lore.state, warnings)

    def _base_macros(self) -> Macros:
        request = self._request
        said = [Said(each.role, each.text) for each in request.history if not each.hidden]
        if request.user_message:
            said.append(Said("user", request.user_message))
        return Macros(
            Scene(
                user=self._settings.user_name,
                char=self._char,
                chat=said,
                chat_id=self._settings.chat_id,
                random=request.random,
                clock=request.clock,
                zone=request.zone,
            )
        )

    def _card_texts(self, base: Macros) -> tuple[CardTexts, Macros]:
        card = self._request.card
        texts = texts_of(card, base, self._settings)
        persona = field_text(self._settings.persona.text, Origin("persona"), base)
        return texts, with_card_macros(base, card, texts, persona)

    def _said(self) -> list[Turn]:
        request, settings = self._request, self._settings
        turns = turns_of(
            request.history,
            settings.user_name,
            self._char,
            self._journal,
            swipe=settings.generation == "swipe",
        )
        if not request.history:
            greeting = greeting_of(request.card, settings.greeting, self._journal)
            if greeting:
                turns.append(Turn("assistant", greeting, self._char))
        if request.user_message:
            text = Text.of(request.user_message, Origin("user_message"))
            turns.append(Turn("user", text, settings.user_name))
        return turns

    def _lore(self) -> Lore:
        request = self._request
        books = books_of(request.books, request.card, self._journal)
        if not books:
            return Lore(state=dict(request.state))
        context, reply = self._settings.limits(request.preset)
        look = Look(
            turns=self._turns,
            injected=self._injected(),
            character=self._char,
            tokens=context - reply,
            macros=self._macros,
            count=request.count_tokens,
            random=request.random,
            rewrite=self._scripts.lore,
            match=self._engine.match,
        )
        return lore_of(books, look, request.scan, request.state)

    def _injected(self) -> list[str]:
        """Return the texts beside the chat that are searched for keys."""
        note, persona = self._settings.note, self._settings.persona
        texts = []
        if note.allow_scan and is_due(note, self._turns):
            texts.append(note_text(note, persona).plain)
        if persona.position == "depth":
            texts.append(persona.text)
        return [self._macros.expand(text) for text in texts if text]
