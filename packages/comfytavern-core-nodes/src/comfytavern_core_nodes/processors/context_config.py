"""The configuration of ContextBuilder, as the editor shows it."""

from __future__ import annotations

from collections.abc import Sequence

from comfytavern.definitions import InputDefinition
from comfytavern.types import DataFlowType, MatchCategory

__all__ = ("CONTEXT_CONFIG", "USER_MESSAGE", "USER_NAME")

USER_NAME = "How the card and the messages call the user: {{user}}."
USER_MESSAGE = "What the user says now; it becomes the last message of the chat."

_ROLES = ("system", "user", "assistant")
_PER_BOOK = ("book", "yes", "no")


def _text(
    name: str, description: str, default: str = "", *, long: bool = False, shown: str = ""
) -> InputDefinition:
    categories = (MatchCategory.UI_BLOCK,) if long else ()
    config: dict[str, object] = {"default": default, "multiline": long}
    if shown:
        config["placeholder"] = shown
    return InputDefinition(
        display_name=name,
        description=description,
        data_flow_type=DataFlowType.STRING,
        match_categories=categories,
        config=config,
    )


def _choice(name: str, description: str, choices: Sequence[str], default: str) -> InputDefinition:
    return InputDefinition(
        display_name=name,
        description=description,
        data_flow_type=DataFlowType.STRING,
        match_categories=(MatchCategory.COMBO_OPTION,),
        config={"default": default, "suggestions": list(choices)},
    )


def _number(name: str, description: str, default: int, least: int = 0) -> InputDefinition:
    return InputDefinition(
        display_name=name,
        description=description,
        data_flow_type=DataFlowType.INTEGER,
        config={"default": default, "min": least, "step": 1},
    )


def _switch(name: str, description: str, default: bool) -> InputDefinition:
    return InputDefinition(
        display_name=name,
        description=description,
        data_flow_type=DataFlowType.BOOLEAN,
        config={"default": default},
    )


_CHAT = {
    "user_name": _text("User name", USER_NAME, "User", shown="User"),
    "user_message": _text("Message", USER_MESSAGE, long=True, shown="what the user says"),
    "greeting_index": _number(
        "Greeting",
        "Which greeting opens a chat without history: 0 is the card's first message, 1 and up are"
        " its alternate greetings.",
        0,
    ),
    "generation": _choice(
        "Type",
        "What is wanted: an answer, more of the last message, what the user might say, or another"
        " version of the last message.",
        ("normal", "continue", "impersonate", "swipe"),
        "normal",
    ),
    "scenario": _text(
        "Scenario",
        "The scenario of this chat; it replaces the card's if it is not empty.",
        long=True,
    ),
}

_PERSONA = {
    "persona_text": _text("Persona", "Who the user is, for the character to know.", long=True),
    "persona_position": _choice(
        "Persona position",
        "Where it stands: as the preset says, above or below the author's note, in the chat, or"
        " nowhere.",
        ("prompt", "note_top", "note_bottom", "depth", "none"),
        "prompt",
    ),
    "persona_depth": _number("Persona depth", "In the chat: so many messages before its end.", 2),
    "persona_role": _choice("Persona role", "In the chat: in whose name.", _ROLES, "system"),
}

_NOTE = {
    "note_text": _text("Author's note", "A text that reminds the model of something.", long=True),
    "note_place": _choice(
        "Note place",
        "Where it stands: in the chat, or beside the main prompt.",
        ("in_chat", "after_main", "before_main"),
        "in_chat",
    ),
    "note_depth": _number("Note depth", "In the chat: so many messages before its end.", 4),
    "note_role": _choice("Note role", "In whose name it is said.", _ROLES, "system"),
    "note_interval": _number(
        "Note interval", "It is sent at every so many messages of the user; 0 is never.", 1
    ),
    "note_scan": _switch("Search the note", "Look for keys of world books in it too.", False),
}

_SPACE = {
    "max_context": _number(
        "Context size", "In tokens, with the reply; 0: as the preset says, 8192 without one.", 0
    ),
    "max_tokens": _number("Reply size", "In tokens; 0: as the preset says, 512 without one.", 0),
    "token_counter": _text(
        "Token counter",
        "'estimate' goes by the length of a text; any other name is a service of a pack, a"
        " function from a text to its number of tokens.",
        "estimate",
    ),
    "on_overflow": _choice(
        "If it does not fit",
        "What happens if even that which is always sent does not fit: an error, or it is sent all"
        " the same.",
        ("error", "keep"),
        "error",
    ),
    "pin_examples": _switch(
        "Keep examples", "Examples of how the character talks go before old messages.", False
    ),
    "strip_examples": _switch("No examples", "Leave the examples out.", False),
    "example_style": _choice(
        "Examples as",
        "System messages with names, or messages of the user and the assistant.",
        ("names", "roles"),
        "names",
    ),
    "prefer_character_prompt": _switch(
        "Card's prompt", "The card's system prompt replaces the preset's main prompt.", True
    ),
    "prefer_character_jailbreak": _switch(
        "Card's last words",
        "The card's post-history instructions replace those of the preset.",
        True,
    ),
    "squash_system": _choice(
        "Join system messages",
        "Join neighbouring system messages into one.",
        ("preset", "yes", "no"),
        "preset",
    ),
}

_LORE = {
    "wi_scan_depth": _number(
        "Scan depth", "How many messages are searched for keys; -1: as the books say.", -1, -1
    ),
    "wi_budget_percent": _number(
        "Book budget", "The part of the context that entries may take, in per cent.", 25
    ),
    "wi_budget_cap": _number(
        "Book budget cap", "At most so many tokens; 0: no cap; -1: as the books say.", -1, -1
    ),
    "wi_recursive": _choice(
        "Recursive", "Search the texts of entries for keys too.", _PER_BOOK, "book"
    ),
    "wi_include_names": _switch("Search names", "Search the names before messages too.", True),
    "wi_case_sensitive": _switch("Case-sensitive", "Let keys tell capitals apart.", False),
    "wi_match_whole_words": _switch(
        "Whole words", "Let keys of one word match no part of a longer one.", True
    ),
    "wi_insertion_strategy": _choice(
        "Book order",
        "Whose entries are considered first, so that they get the budget.",
        ("evenly", "character_first", "global_first"),
        "character_first",
    ),
    "wi_min_activations": _number(
        "Least entries", "Search further back until so many entries are active.", 0
    ),
    "wi_min_activations_depth_max": _number(
        "Least entries: depth", "How far back that search goes; 0: the whole chat.", 0
    ),
    "wi_max_recursion_steps": _number("Rounds", "Stop after so many rounds; 0: no limit.", 0),
    "wi_use_group_scoring": _switch(
        "Group scoring", "In a group the entries with most matching keys win.", False
    ),
}

_CHANCE = {
    "seed": _number("Seed", "Makes chance repeatable; -1: every run is different.", -1, -1),
    "time_zone": _text(
        "Time zone", "Where the clock of {{time}} and its like stands, such as Europe/Paris.", "UTC"
    ),
    "chat_id": _text("Chat id", "What {{pick}} depends on: the same for all turns of a chat."),
}

CONTEXT_CONFIG = {**_CHAT, **_PERSONA, **_NOTE, **_SPACE, **_LORE, **_CHANCE}
