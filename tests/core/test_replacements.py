"""Which old types a pack may replace: one heir each, no circles, names that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from comfytavern.definitions import InputDefinition, NodeDefinition, NodeMode, Replacement
from comfytavern.errors import PackConflictError, PackError
from comfytavern.registry import NodeRegistry
from comfytavern.replacements import Replacements

NEW = "pack 'a-pack' 2.0 failed: node type 'a-pack:New' replaces"


def definition(name: str, *replaces: Replacement | str, **more: Any) -> NodeDefinition:
    """Return a definition with the inputs ``text`` and ``times``; a name alone replaces it."""
    found = tuple(Replacement(type=r) if isinstance(r, str) else r for r in replaces)
    slots = {"text": InputDefinition(), "times": InputDefinition()}
    return NodeDefinition(**{"type": name, "replaces": found, "inputs": slots} | more)


def registry_of(*definitions: NodeDefinition) -> NodeRegistry:
    registry = NodeRegistry()
    registry.add_pack("a-pack", "2.0", definitions)
    return registry


def refusal(*definitions: NodeDefinition) -> str:
    """Return why a pack with these definitions fails; nothing of it stays."""
    registry = NodeRegistry()
    with pytest.raises(PackError) as caught:
        registry.add_pack("a-pack", "2.0", definitions)
    assert (caught.value.distribution, caught.value.phase) == ("a-pack", "nodes")
    assert len(registry) == 0
    assert registry.replacement("a-pack:Old") is None
    return str(caught.value)


def renaming(old: str = "Old", **maps: Mapping[str, str] | str) -> Replacement:
    return Replacement.model_validate({"type": old, **maps})


def test_a_bare_type_is_one_of_the_same_pack() -> None:
    registry = registry_of(definition("New", "Old", "other-pack:Older"))
    for old in ("a-pack:Old", "other-pack:Older"):
        found = registry.replacement(old)
        assert found is not None
        assert (found.old, found.new, found.distribution) == (old, "a-pack:New", "a-pack")
    assert registry.replacement("a-pack:New") is None
    assert registry.replacement("Old") is None


def test_a_pack_that_leaves_takes_its_replacements_along() -> None:
    registry = registry_of(definition("New", "Old", "other-pack:Older"))
    revision = registry.revision
    registry.remove_pack("a-pack")
    assert registry.replacement("a-pack:Old") is None
    assert registry.replacement("other-pack:Older") is None
    assert registry.revision > revision


def test_an_alias_leads_to_the_old_types_behind_it() -> None:
    registry = NodeRegistry(aliases={"short": ("a-pack",)})
    registry.add_pack("a-pack", "2.0", [definition("New", "Old")])
    found = registry.replacement("short:Old")
    assert found is not None
    assert found.new == "a-pack:New"


@pytest.mark.parametrize("old", ["", "two words", "a:b:c", ":Old", "a-pack:", "a/b:Old"])
def test_an_old_type_is_a_name(old: str) -> None:
    with pytest.raises(ValidationError, match="is neither 'Type' nor 'namespace:Type'"):
        Replacement(type=old)


def test_two_definitions_of_one_pack_for_one_old_type() -> None:
    assert refusal(definition("New", "Old"), definition("Other", "a-pack:Old")) == (
        "pack 'a-pack' 2.0 is in conflict: node type 'a-pack:Other' replaces 'a-pack:Old',"
        " which node type 'a-pack:New' replaces already"
    )


def test_two_packs_for_one_old_type() -> None:
    registry = registry_of(definition("New", "gone:Old"))
    with pytest.raises(PackConflictError) as caught:
        registry.add_pack("b-pack", "1.0", [definition("Mine", "gone:Old")])
    assert str(caught.value) == (
        "pack 'b-pack' 1.0 is in conflict: node type 'b-pack:Mine' replaces 'gone:Old', which"
        " node type 'a-pack:New' of pack 'a-pack' 2.0 replaces already"
    )
    assert registry.get("b-pack:Mine") is None


def test_nobody_else_breaks_what_a_pack_says_of_its_own_types() -> None:
    """In either order the pack that had the type is believed, and loads."""
    registry = NodeRegistry()
    registry.add_pack("a-thief", "1.0", [definition("Mine", "b-pack:Old")])
    registry.add_pack("b-pack", "2.0", [definition("New", "Old")])
    found = registry.replacement("b-pack:Old")
    assert found is not None
    assert found.new == "b-pack:New"
    with pytest.raises(PackConflictError) as caught:
        registry.add_pack("c-thief", "1.0", [definition("Mine", "b-pack:Old")])
    assert caught.value.distribution == "c-thief"
    registry.remove_pack("b-pack")
    found = registry.replacement("b-pack:Old")
    assert found is not None
    assert found.new == "a-thief:Mine"


@pytest.mark.parametrize(
    ("definitions", "circle"),
    [
        ([definition("New", "B"), definition("B", "New")], "a-pack:B -> a-pack:New -> a-pack:B"),
        (
            [definition("New", renaming(into="A"), renaming("A", into="Old"))],
            "a-pack:Old -> a-pack:A -> a-pack:Old",
        ),
        (
            [definition("New", renaming("New", into="A"), "A")],
            "a-pack:New -> a-pack:A -> a-pack:New",
        ),
    ],
    ids=["two-definitions", "inside-one", "through-itself"],
)
def test_a_circle_is_the_failure_of_its_pack(
    definitions: list[NodeDefinition], circle: str
) -> None:
    assert refusal(*definitions).endswith(f"replaces types in a circle: {circle}")


def test_a_way_into_a_circle_is_no_other_failure() -> None:
    with pytest.raises(PackError, match="in a circle: a-pack:Old -> a-pack:A -> a-pack:Old"):
        registry_of(
            definition(
                "New", renaming("First", into="A"), renaming(into="A"), renaming("A", into="Old")
            )
        )


@pytest.mark.parametrize(
    ("replacement", "reason"),
    [
        (
            renaming(inputs={"words": "txet"}),
            "'a-pack:Old' and maps input 'words' to 'txet', which is none; did you mean 'text'?",
        ),
        (
            renaming(outputs={"words": "text"}),
            "'a-pack:Old' and maps output 'words' to 'text', which is none; it has: none",
        ),
        (
            renaming(config={"loud": "tone"}),
            (
                "'a-pack:Old' and maps config value 'loud' to 'tone', which is none; it has: level,"
                " mode"
            ),
        ),
        (renaming("New"), "itself and maps no name"),
        (
            renaming("New", inputs={"text": "times"}),
            "itself and maps input 'text', which it still has",
        ),
        (
            renaming("core:Old"),
            (
                "'core:Old', but 'core' is an alias of the operator's; name the distribution that"
                " had the type"
            ),
        ),
        (
            renaming(into="Odl"),
            "'a-pack:Old' into 'a-pack:Odl', for which it has no replacement; did you mean 'Od'?",
        ),
        (
            renaming(into="Elsewhere"),
            "'a-pack:Old' into 'a-pack:Elsewhere', for which it has no replacement; add one for it",
        ),
    ],
)
def test_what_cannot_be_meant(replacement: Replacement, reason: str) -> None:
    found = refusal(
        definition(
            "New",
            replacement,
            "Od",
            config_schema={"level": InputDefinition()},
            modes={"m": NodeMode()},
            mode_config_key="mode",
        )
    )
    assert found == f"{NEW} {reason}"


def test_names_of_a_mode_and_of_open_slots_will_do() -> None:
    registry_of(
        definition(
            "New",
            renaming(inputs={"a": "deep"}, config={"how": "mode"}),
            modes={"m": NodeMode(inputs={"deep": InputDefinition()})},
            mode_config_key="mode",
        ),
        definition("Open", renaming("Wide", inputs={"a": "anything"}), dynamic_slots=True),
    )


def test_without_any_there_is_nothing() -> None:
    assert not Replacements()
    assert Replacements().get("a:B") is None


def test_whoever_asks_for_an_old_type_is_told_the_new_one() -> None:
    registry = registry_of(definition("New", renaming("First", into="Old"), "Old"))
    for old in ("a-pack:First", "a-pack:Old"):
        assert registry.explain_missing(old) == "it was replaced by 'a-pack:New'"
