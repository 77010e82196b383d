"""``cards show``, ``lint`` and ``explain``: the verb that comfytavern-core-nodes brings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from .test_cli_support import CommandLine, node, workflow

CONTEXT = "comfytavern-core-nodes:ContextBuilder"
LOADER = "comfytavern-core-nodes:CharacterCardLoader"
CARD = {"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": "Mira", "tags": ["a"]}}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> CommandLine:
    line = CommandLine(tmp_path, monkeypatch)
    monkeypatch.setenv("COLUMNS", "100")
    shutil.copytree(repository / "examples", line.folder / "examples")
    return line


def card_with(**fields: object) -> str:
    return json.dumps({**CARD, "data": {**CARD["data"], **fields}})  # type: ignore[dict-item]  # JSON


def sections(text: str) -> dict[str, list[str]]:
    """Return the lines below each headline, which alone are not indented."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith(" "):
            found[line] = []
        elif line:
            found[list(found)[-1]].append(line)
    return found


class TestShow:
    """``cards show``."""

    def test_a_summary_fits_the_screen(self, command: CommandLine) -> None:
        result = command("cards", "show", "examples/characters/hesper.png")
        lines = result.stdout.splitlines()
        assert (result.exit_code, result.stderr) == (0, "")
        assert lines[0] == "Hesper Dunmallow"
        assert lines[1].startswith("examples/characters/hesper.png: card v2 2.0, ")
        assert "  tags        tavern, cosy, fantasy, family-friendly, example" in lines
        assert any(line.startswith("  description   ") for line in lines)
        assert 'world book "Hesper\'s slate": 3 entries' in lines
        assert max(map(len, lines)) <= 100

    def test_wide_letters_take_two_columns(self, command: CommandLine) -> None:
        file = command.write("m.json", card_with(description="茶" * 300, personality="calm"))
        lines = command("cards", "show", file).stdout.splitlines()
        rows = {line.split()[0]: line for line in lines if line.startswith("  ")}
        shown = rows["description"].partition("茶")
        assert len(shown[0]) + 2 * (1 + len(shown[2].removesuffix("…"))) + 1 in (99, 100)
        assert rows["personality"].index("calm") == len(shown[0])

    def test_scripts_and_what_cannot_be_used(self, command: CommandLine) -> None:
        scripts = [{"scriptName": "dots", "findRegex": "/\\.{4}/g", "disabled": True}, {"x": 1}]
        extensions = {"regex_scripts": scripts, "depth_prompt": {"prompt": "Slow.", "depth": 2}}
        fields = {"character_book": {"entries": [5]}, "nickname": "Mi", "character_version": "2"}
        greetings = {"alternate_greetings": ["Hm."], "group_only_greetings": ["All!"], "more": 1}
        file = command.write("m.json", card_with(extensions=extensions, **fields, **greetings))
        lines = command("cards", "show", file).stdout.splitlines()
        assert "  creator     unknown, version 2" in lines
        assert "  other keys  more" in lines
        assert [line.split()[0] for line in lines if line.endswith(("Hm.", "All!"))] == [
            "greeting",
            "group",
        ]
        assert any(line.startswith("  depth prompt (system, 2)") for line in lines)
        assert "world book: not usable, entries[0] is a number; an entry is an object" in lines
        assert lines[-4:] == [
            "regex scripts: 2",
            "  name      state       finds",
            "  dots      off         /\\.{4}/g",
            "  script 1  not usable  'pattern' is missing; expected text",
        ]

    def test_json_is_the_normalised_card(self, command: CommandLine) -> None:
        file = command.write("m.json", card_with(description=5))
        card = json.loads(command("cards", "show", file, "--json").stdout)
        assert (card["spec"], card["name"], card["description"]) == ("v2", "Mira", "5")

    def test_warnings_go_to_stderr(self, command: CommandLine) -> None:
        file = command.write("m.json", json.dumps({**CARD, "spec": "other"}))
        result = command("cards", "show", file, "--json")
        said = "warning: the card names the unknown spec 'other'; read as chara_card_v2\n"
        assert (result.exit_code, result.stderr) == (0, said)

    @pytest.mark.parametrize(
        ("content", "code", "message"),
        [
            (None, "bad_file", "card 'm.json' does not exist"),
            ("{", "bad_json", "card 'm.json' cannot be read: expecting property name"),
            ('{"name": ""}', "missing_name", "card 'm.json' cannot be read: field 'name' is empty"),
        ],
    )
    def test_what_cannot_be_read(
        self, command: CommandLine, content: str | None, code: str, message: str
    ) -> None:
        if content is not None:
            command.write("m.json", content)
        result = command("cards", "show", "m.json", "--json")
        error = json.loads(result.stdout)["error"]
        assert (result.exit_code, error["code"]) == (2, code)
        assert error["message"].startswith(message)
        assert result.stderr.startswith(f"error: {message}")


class TestLint:
    """``cards lint``."""

    def test_nothing_to_say(self, command: CommandLine) -> None:
        result = command("cards", "lint", "examples/characters/hesper.png")
        assert (result.exit_code, result.stdout) == (
            0,
            "examples/characters/hesper.png: no problems\n",
        )

    def test_every_problem_with_its_place(self, command: CommandLine) -> None:
        good = command.write("good.json", card_with(extra=1))
        odd = command.write("odd.json", card_with(tags=["a", 1], extra=1))
        bad = command.write("bad.json", card_with(name="", description=[]))
        assert command("cards", "lint", good).exit_code == 0
        assert command("cards", "lint", good, odd).exit_code == 1
        result = command("cards", "lint", odd, bad, ".")
        assert (result.exit_code, result.stderr) == (2, "")
        assert result.stdout == (
            "odd.json: 1 warning, 1 note\n"
            "  warning  data.tags[1]  it is a number and was left out; only texts are used\n"
            "  note     data.extra    unknown key; it is kept\n"
            "bad.json: cannot be read; 2 errors\n"
            "  error    data.name         it is empty; a card needs a name\n"
            "  error    data.description  it is a list; a text was expected\n"
            ".: cannot be read; 1 error\n"
            "  error    the file is a directory; expected a file\n"
        )

    def test_json(self, command: CommandLine) -> None:
        good = command.write("good.json", card_with())
        result = command("cards", "lint", good, "none.json", "--json")
        assert result.exit_code == 2
        finding = {"level": "error", "path": "", "reason": "the file does not exist"}
        assert json.loads(result.stdout) == {
            "files": [
                {"file": "good.json", "readable": True, "findings": []},
                {"file": "none.json", "readable": False, "findings": [finding]},
            ]
        }


class TestExplain:
    """``cards explain``."""

    def test_why_each_entry_fired(self, command: CommandLine) -> None:
        result = command("cards", "explain", "examples/roleplay.json", "-i", "name=Ann")
        assert (result.exit_code, result.stderr) == (0, "")
        lore, tokens, dropped, messages = sections(result.stdout).items()
        assert lore[0] == ("world books: 6 of 9 entries fired in 3 rounds, 335 of 1,948 tokens")
        flat = " ".join(" ".join(lore[1]).split())
        assert "yes 1 61 Hesper's slate.1 The slate key 'slate' in chat #4" in flat
        assert "The tavern (always) always (constant)" in flat
        assert "yes 2 48" in flat
        assert "The causeway key 'causeway' in the text of The Ninth Lantern.5" in flat
        assert "no The Ninth Lantern.4 Bram the cat no key matched" in flat
        assert tokens[0].startswith("tokens: ")
        assert dropped == (
            "left out",
            ["  part                why", "  enhanceDefinitions  disabled in the preset"],
        )
        assert messages[0] == "messages: 29"
        text = "\n".join(messages[1])
        for origin in (
            "card system_prompt",
            "preset main",
            "book Odile and the night ferry",
            "persona ",
            "card mes_example as example_user",
            "history 5 (Ann)",
            "author's note",
            "regex rules in the message",
        ):
            assert origin in text
        assert max(map(len, result.stdout.splitlines())) <= 100

    def test_json_holds_the_whole_report(self, command: CommandLine) -> None:
        result = command("cards", "explain", "examples/roleplay.json", "--json")
        [found] = json.loads(result.stdout)["nodes"]
        assert (found["nodeId"], found["state"]) == ("context", "complete")
        assert len(found["messages"]) == len(found["report"]["messages"]) == 29
        assert len(found["report"]["world_info"]["entries"]) == 9

    def test_neither_the_model_nor_its_pack_is_needed(self, command: CommandLine) -> None:
        command.write("comfytavern.yaml", "packs: {disabled: [comfytavern-llm-nodes]}\n")
        values = ("--set", "context.wi_scan_depth=0", "-i", "message=Hm?")
        result = command("cards", "explain", "examples/roleplay.json", *values)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("world books: 1 of 9 entries fired in 2 rounds, ")

    def test_several_contexts_and_one_that_is_bypassed(self, command: CommandLine) -> None:
        nodes: list[dict[str, Any]] = [  # Any: JSON
            node("a", CONTEXT, {"user_message": "hi", "max_context": 600}),
            node("b", CONTEXT) | {"bypassed": True},
        ]
        file = command.write("w.json", workflow(*nodes))
        result = command("cards", "explain", file)
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert lines[:3] == ["node 'a'", "", "world books: none is connected"]
        assert lines[-1] == "node 'b' built nothing: skipped"

    def test_a_failure_shows_what_was_built_all_the_same(self, command: CommandLine) -> None:
        failing = node("b", CONTEXT, {"token_counter": "nobody"})
        file = command.write("w.json", workflow(node("a", CONTEXT), failing))
        result = command("cards", "explain", file)
        assert result.exit_code == 1
        assert result.stdout.startswith("node 'a'\n\nworld books: none")
        assert "node 'b' built nothing: error\n" in result.stdout
        assert result.stderr.startswith(f"error: node 'b' ({CONTEXT}, pack ")
        assert "token counter 'nobody'" in result.stderr
        document = json.loads(command("cards", "explain", file, "--json").stdout)
        assert document["error"]["code"] == "run_failed"

    def test_warnings_and_dropped_messages(self, command: CommandLine) -> None:
        command.write("m.json", card_with(character_book={"entries": [{"keys": 5}]}))
        said = [{"role": "user", "content": f"{number} " * 200} for number in range(9)]
        card = node("card", LOADER, {"cardResource": "m.json"})
        context = node("c", CONTEXT, {"max_context": 600, "max_tokens": 100}, historyMessages=said)
        edges = ("card.characterData > c.characterData",)
        file = command.write("w.json", workflow(card, context, edges=edges))
        found = sections(command("cards", "explain", file).stdout)
        assert found["left out"][1].split(maxsplit=1) == [
            "chatHistory",
            "did not fit into the context, messages 0 to 4 of the history, 5 messages, 620 tokens",
        ]
        assert "character book" in found["warnings"][0]

    @pytest.mark.parametrize("name", ["w.json", "none.json"])
    def test_what_cannot_be_explained(self, command: CommandLine, name: str) -> None:
        command.write("w.json", workflow(node("a", LOADER)))
        result = command("cards", "explain", name, "--json")
        code = json.loads(result.stdout)["error"]["code"]
        assert (result.exit_code, code) in ((2, "nothing_to_explain"), (2, "bad_file"))


def test_help_names_the_verb_and_its_pack(command: CommandLine) -> None:
    assert "cards  from comfytavern-core-nodes" in command("--help").stdout
    assert "explain" in command("cards", "--help").stdout
