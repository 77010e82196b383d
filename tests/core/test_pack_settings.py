"""A pack's settings: the schema that describes them, and checking a block before it is saved."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

import comfytavern_llm_nodes
from comfytavern.errors import PackHookError, PackSettingsError, UnknownPackError
from comfytavern.hookspecs import hookimpl
from comfytavern.packs import PackChoice, PackManager, PackState

SECRET = "sk-very-secret-0123456789"


class WithModel:
    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    @hookimpl
    def settings_model(self) -> type[BaseModel]:
        return self.model


def manager_of(model: type[BaseModel], settings: Mapping[str, object] | None = None) -> PackManager:
    manager = PackManager(found=[])
    manager.add(WithModel(model), distribution="some-pack", settings=settings)
    return manager


class Inner(BaseModel):
    key: SecretStr = SecretStr(SECRET)


class Described(BaseModel):
    """What can be set."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    base_url: str = Field(alias="baseUrl", description="where to ask")
    key: SecretStr = SecretStr(SECRET)
    inner: Inner = Inner()
    patience: float = math.inf
    convert: Any = str.upper  # Any: a default that JSON has no word for


# The schema -------------------------------------------------------------------------


def test_the_schema_is_that_of_the_model_by_alias() -> None:
    manager = manager_of(Described, {"baseUrl": "http://somewhere.else", "key": "another"})
    schema = manager.settings_schema("Some_Pack")
    assert schema is not None
    assert schema["required"] == ["baseUrl"]
    assert schema["properties"]["baseUrl"] == {
        "description": "where to ask",
        "title": "Baseurl",
        "type": "string",
    }
    assert schema["additionalProperties"] is False
    text = json.dumps(schema, allow_nan=False)
    assert SECRET not in text
    assert "somewhere.else" not in text
    assert "another" not in text
    assert schema["properties"]["key"]["writeOnly"] is True
    assert schema["properties"]["patience"]["default"] is None


def test_there_is_no_schema_without_a_model_or_a_loaded_pack() -> None:
    manager = manager_of(Inner)
    manager.add(object(), distribution="plain-pack")
    with pytest.raises(PackSettingsError):
        manager.add(WithModel(Described), distribution="bad-pack")
    assert manager.record("bad-pack").state is PackState.FAILED
    assert manager.takes_settings("Some_Pack")
    for name in ("plain-pack", "bad-pack"):
        assert not manager.takes_settings(name)
        assert manager.settings_schema(name) is None
        assert manager.check_settings(name, {"a": 1}) == ()


def test_an_unknown_pack_has_neither_schema_nor_check() -> None:
    manager = manager_of(Described, {"baseUrl": "x"})
    text = "no installed pack is named 'some-pakc'; did you mean 'some-pack'?"
    with pytest.raises(UnknownPackError) as caught:
        manager.settings_schema("some-pakc")
    assert str(caught.value) == text
    with pytest.raises(UnknownPackError) as caught:
        manager.check_settings("some-pakc", {})
    assert str(caught.value) == text


def raise_exit(schema: object) -> None:
    raise SystemExit(3)


class Opaque:
    """No type that JSON Schema has a word for."""


class Undescribable(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    thing: Opaque | None = None


class Exiting(BaseModel):
    model_config = ConfigDict(json_schema_extra=raise_exit)


class Foreign(BaseModel):
    model_config = ConfigDict(json_schema_extra={"extra": object()})  # type: ignore[dict-item]  # that it is none


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Undescribable, "PydanticInvalidForJsonSchema: Cannot generate a JsonSchema for"),
        (Exiting, "it called sys.exit(3)"),
        (Foreign, "TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_a_model_that_cannot_be_described(model: type[BaseModel], reason: str) -> None:
    with pytest.raises(PackHookError) as caught:
        manager_of(model).settings_schema("some-pack")
    assert str(caught.value).startswith(
        "pack 'some-pack' 0.0.0 has a broken hook: its settings model cannot be described: "
        + reason
    )
    assert caught.value.phase == "settings"


def test_an_interrupt_while_describing_is_the_users() -> None:
    def interrupt(schema: object) -> None:
        raise KeyboardInterrupt

    class Interrupted(BaseModel):
        model_config = ConfigDict(json_schema_extra=interrupt)

    with pytest.raises(KeyboardInterrupt):
        manager_of(Interrupted).settings_schema("some-pack")


# Checking a block -------------------------------------------------------------------


class Channel(BaseModel):
    label: str
    retries: int = 3


class Checked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    channels: list[Channel] = []
    level: Literal["low", "high"] = "low"


def test_a_block_that_fits_has_no_problems() -> None:
    manager = manager_of(Checked)
    assert manager.check_settings("Some_Pack", None) == ()
    assert manager.check_settings("some-pack", {"channels": [{"label": "a"}]}) == ()


def test_problems_say_where_and_what_but_not_what_was_given() -> None:
    block = {"channels": [{"label": "a"}, {"retries": SECRET}], "level": "hig", "more": SECRET}
    problems = manager_of(Checked).check_settings("some-pack", block)
    assert problems == (
        (("channels", 1, "label"), "Field required"),
        (
            ("channels", 1, "retries"),
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        (("level",), "Input should be 'low' or 'high'"),
        (("more",), "Extra inputs are not permitted"),
    )


@pytest.mark.parametrize("block", ["text", 5, [1]])
def test_a_block_of_another_kind(block: object) -> None:
    [(where, what)] = manager_of(Checked).check_settings("some-pack", block)
    assert (where, what) == ((), "Input should be a valid dictionary or instance of Checked")


def test_checking_changes_nothing() -> None:
    class Changing(BaseModel):
        size: int = 1

        @model_validator(mode="before")
        @classmethod
        def change(cls, value: Any) -> Any:  # Any: what the operator wrote
            value.clear()
            return value

    manager = manager_of(Changing, {"size": 2})
    before = manager.settings_of("some-pack"), manager.records, manager.digest()
    block = {"size": 5, "list": [{"a": 1}]}
    unchanged = copy.deepcopy(block)
    assert manager.check_settings("some-pack", block) == ()
    assert block == unchanged
    assert (manager.settings_of("some-pack"), manager.records, manager.digest()) == before


class Telling(BaseModel):
    """A model whose validators quote what they were given."""

    key: str = ""
    pin: int = 0
    short: str = ""
    flag: bool = False
    names: dict[str, list[str]] = {}

    @field_validator("key")
    @classmethod
    def _key(cls, value: str) -> str:
        raise ValueError(f"{value!r} is no key, nor is {value.strip()}")

    @field_validator("pin")
    @classmethod
    def _pin(cls, value: int) -> int:
        raise AssertionError(f"pin {value} is not 14821")

    @field_validator("short")
    @classmethod
    def _short(cls, value: str) -> str:
        raise PydanticCustomError("odd", "{given} is a bad word", {"given": value})

    @field_validator("flag")
    @classmethod
    def _flag(cls, value: bool) -> bool:
        raise ValueError(f"flag is {value}, which is no secret")

    @field_validator("names")
    @classmethod
    def _names(cls, value: Mapping[str, list[str]]) -> object:
        raise ValueError(f"names are {value}")


class Tagged(BaseModel):
    type: Literal["a"]


class OtherTagged(BaseModel):
    type: Literal["b"]


class ByTag(BaseModel):
    thing: Annotated[Tagged | OtherTagged, Field(discriminator="type")]


@pytest.mark.parametrize(
    ("block", "what"),
    [
        (
            {"key": f"  {SECRET}\n"},
            "Value error, '<value>' is no key, nor is <value>",
        ),
        ({"pin": 4821}, "Assertion failed, pin <value> is not 1<value>"),
        ({"short": "a"}, "<value> is <value> bad word"),
        ({"flag": True}, "Value error, flag is True, which is no secret"),
        (
            {"names": {"x": [SECRET, "other"]}},
            "Value error, names are {'x': ['<value>', '<value>']}",
        ),
    ],
)
def test_what_validators_quote_is_taken_out(block: dict[str, object], what: str) -> None:
    [(where, text)] = manager_of(Telling).check_settings("some-pack", block)
    assert (where, text) == (tuple(block), what)


def test_the_same_holds_while_loading() -> None:
    choice = PackChoice(settings={"some-pack": {"key": SECRET}})
    manager = PackManager(choice, found=[])
    with pytest.raises(PackSettingsError) as caught:
        manager.add(WithModel(Telling), distribution="some-pack")
    assert SECRET not in str(caught.value)
    assert SECRET not in json.dumps(manager.record("some-pack").to_wire())


def test_tags_that_pydantic_quotes_are_taken_out() -> None:
    [(where, what)] = manager_of(ByTag, {"thing": {"type": "a"}}).check_settings(
        "some-pack", {"thing": {"type": SECRET}}
    )
    assert where == ("thing",)
    assert what == (
        "Input tag '<value>' found using 'type' does not match any of the expected tags: 'a', 'b'"
    )


def test_a_model_that_breaks_over_a_block_is_a_problem() -> None:
    class Breaking(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def _break(cls, value: Any) -> Any:  # Any: what the operator wrote
            if value:
                raise {"exit": SystemExit, "stop": KeyboardInterrupt}.get(value["how"], KeyError)(
                    value["how"]
                )
            return value

    manager = manager_of(Breaking)
    expected = {SECRET: "KeyError", "exit": "SystemExit"}
    for how, kind in expected.items():
        problems = manager.check_settings("some-pack", {"how": how})
        assert problems == (((), f"the pack's own check raised {kind}"),)
    with pytest.raises(KeyboardInterrupt):
        manager.check_settings("some-pack", {"how": "stop"})


def test_settings_of_a_built_in_pack() -> None:
    manager = PackManager(found=[])
    manager.add(comfytavern_llm_nodes, distribution="comfytavern-llm-nodes")
    schema = manager.settings_schema("comfytavern-llm-nodes")
    assert schema is not None
    assert {"channels", "api_settings", "images"} <= set(schema["properties"])
    json.dumps(schema, allow_nan=False)
    block: dict[str, object] = {"images": {"max_side": 1}, "unknown": SECRET}
    problems = manager.check_settings("comfytavern-llm-nodes", block)
    assert {where for where, _ in problems} == {("images", "max_side"), ("unknown",)}
    assert SECRET not in str(problems)
