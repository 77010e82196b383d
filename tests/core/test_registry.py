"""The registry: ownership of names, aliases, and the reason why a type is unknown."""

from __future__ import annotations

import functools

import pytest

from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition, NodeMode
from comfytavern.errors import PackConflictError, PackError
from comfytavern.pack_records import PackRecord, PackState
from comfytavern.registry import NodeRegistry, RegisteredNode


def definition(name: str, namespace: str | None = None) -> NodeDefinition:
    return NodeDefinition(type=name, namespace=namespace)


def full_types(registry: NodeRegistry) -> list[str]:
    return [node.full_type for node in registry]


async def execute(inputs: dict[str, object], context: NodeContext) -> dict[str, object]:
    return {}


class Runner:
    def __call__(self, inputs: dict[str, object], context: NodeContext) -> dict[str, object]:
        return {}


class Endless:
    @property
    def __wrapped__(self) -> Endless:
        return self

    def __call__(self) -> None: ...


def test_nodes_are_found_by_full_type() -> None:
    registry = NodeRegistry()
    registry.add_pack("some-pack", "1.2", [definition("Hello")])
    node = registry.get("some-pack:Hello")
    assert node == RegisteredNode(
        "some-pack:Hello", definition("Hello", "some-pack"), "some-pack", "1.2"
    )
    assert len(registry) == 1
    assert registry.get("some-pack:Other") is None
    assert registry.get("Hello") is None


def test_iteration_is_by_pack_then_in_its_own_order() -> None:
    registry = NodeRegistry()
    registry.add_pack("b-pack", "1", [definition("Z"), definition("A")])
    registry.add_pack("a-pack", "1", [definition("M")])
    assert full_types(registry) == ["a-pack:M", "b-pack:Z", "b-pack:A"]
    assert [node.full_type for node in registry.of_pack("b-pack")] == ["b-pack:Z", "b-pack:A"]


def test_a_registered_node_cannot_be_changed() -> None:
    registry = NodeRegistry()
    [node] = registry.add_pack("some-pack", "1", [definition("Hello")])
    with pytest.raises(AttributeError):
        node.version = "2"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("execute", "path"),
    [
        (execute, "{here}.py"),
        (functools.partial(execute, {}), "{here}.py"),
        (Runner(), "{here}.py"),
        (Endless(), "{here}.py"),
        ("json:dumps", "json/__init__.py"),
        ("json.decoder:JSONDecoder", "json/decoder.py"),
        ("never.imported:thing", "never/imported.py"),
        (None, None),
    ],
)
def test_file_path_comes_from_the_code(execute: object, path: str | None) -> None:
    registry = NodeRegistry()
    given = NodeDefinition.model_validate({"type": "Hello", "execute": execute})
    [node] = registry.add_pack("some-pack", "1", [given])
    here = __name__.replace(".", "/")
    assert node.definition.file_path == (path.format(here=here) if path else None)


def test_file_path_comes_from_a_mode_if_the_code_is_there() -> None:
    modes = {"a": NodeMode(), "b": NodeMode(execute="json.decoder:f")}
    given = NodeDefinition(type="Hello", modes=modes, mode_config_key="mode")
    [node] = NodeRegistry().add_pack("some-pack", "1", [given])
    assert node.definition.file_path == "json/decoder.py"


def test_file_path_that_is_given_stays() -> None:
    given = NodeDefinition(type="Hello", file_path="a/b.py", execute=execute)
    [node] = NodeRegistry().add_pack("some-pack", "1", [given])
    assert node.definition.file_path == "a/b.py"


def test_code_typed_in_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "__module__", "__main__")
    [node] = NodeRegistry().add_pack(
        "some-pack", "1", [NodeDefinition(type="Hello", execute=execute)]
    )
    assert node.definition.file_path is None


def test_foreign_namespace_is_refused_whole() -> None:
    registry = NodeRegistry()
    definitions = [definition("Mine"), definition("TextMerge", "core")]
    with pytest.raises(PackError) as caught:
        registry.add_pack("some-pack", "1.2", definitions)
    assert str(caught.value) == (
        "pack 'some-pack' 1.2 failed: node type 'TextMerge' claims the namespace 'core', which is"
        " not its own; leave the namespace out, or grant it in the config:"
        " packs.namespaces: {core: some-pack}"
    )
    assert full_types(registry) == []


def test_own_and_granted_namespaces_are_allowed() -> None:
    registry = NodeRegistry()
    definitions = [definition("A", "some-pack"), definition("B", "short")]
    registry.add_pack("some-pack", "1", definitions, ["short"])
    assert full_types(registry) == ["some-pack:A", "short:B"]


def test_taken_type_names_both_packs() -> None:
    registry = NodeRegistry()
    registry.add_pack("a-pack", "1.0", [definition("Hello")])
    with pytest.raises(PackConflictError) as caught:
        registry.add_pack(
            "b-pack", "2.0", [definition("New"), definition("Hello", "a-pack")], ["a-pack"]
        )
    assert str(caught.value) == (
        "pack 'b-pack' 2.0 is in conflict: node type 'a-pack:Hello' is taken by pack 'a-pack' 1.0"
    )
    assert full_types(registry) == ["a-pack:Hello"]


def test_type_twice_in_one_pack_names_both_files() -> None:
    definitions = [
        NodeDefinition(type="Hello", execute="some_pack.one:run"),
        NodeDefinition(type="Hello", execute="some_pack.two:run"),
    ]
    with pytest.raises(PackConflictError) as caught:
        NodeRegistry().add_pack("some-pack", "1.0", definitions)
    assert str(caught.value) == (
        "pack 'some-pack' 1.0 is in conflict: it has two node types 'some-pack:Hello'"
        " (some_pack/one.py and some_pack/two.py)"
    )


def test_alias_finds_the_first_pack_that_has_the_type() -> None:
    registry = NodeRegistry(aliases={"core": ["a-pack", "b-pack"]})
    registry.add_pack("b-pack", "1", [definition("Both"), definition("OnlyB")])
    found = registry.get("core:Both")
    assert found is not None
    assert found.full_type == "b-pack:Both"
    registry.add_pack("a-pack", "1", [definition("Both")])
    for full_type, expected in (("Both", "a-pack:Both"), ("OnlyB", "b-pack:OnlyB")):
        for _ in range(2):  # found, then remembered
            node = registry.get(f"core:{full_type}")
            assert node is not None
            assert node.full_type == expected
    registry.remove_pack("a-pack")
    assert registry.get("core:Both") == found
    assert registry.get("core:None") is None


def test_removing_a_pack_frees_its_types() -> None:
    registry = NodeRegistry()
    registry.add_pack("some-pack", "1", [definition("Hello")])
    registry.remove_pack("some-pack")
    registry.remove_pack("never-there")
    assert registry.get("some-pack:Hello") is None
    registry.add_pack("some-pack", "2", [definition("Hello")])
    assert full_types(registry) == ["some-pack:Hello"]


RECORDS = {
    record.distribution: record
    for record in (
        PackRecord("good-pack", "1.0", state=PackState.LOADED),
        PackRecord("off-pack", "1.0", state=PackState.DISABLED, enabled=False),
        PackRecord("unlisted-pack", "1.0", enabled=False),
        PackRecord("waiting-pack", "1.0"),
        PackRecord(
            "bad-pack",
            "1.0",
            state=PackState.FAILED,
            phase="import",
            error="No module named 'tiktoken'",
            remedy="install it or disable the pack",
        ),
        PackRecord("old-pack", "1.0", state=PackState.INCOMPATIBLE, phase="api", error="too old"),
        PackRecord("twin-pack", "1.0", state=PackState.CONFLICT, phase="nodes", error="taken"),
        PackRecord("gone-pack", "1.0", state=PackState.UNINSTALLED),
        PackRecord(
            "new-pack",
            "1.0",
            state=PackState.RESTART_REQUIRED,
            error="version 1.0 is in use, 2.0 is installed",
            remedy="restart the host",
        ),
    )
}


@pytest.mark.parametrize(
    ("full_type", "explanation"),
    [
        (
            "good-pack:Helo",
            "pack 'good-pack' 1.0 has no such type; did you mean 'good-pack:Hello'?",
        ),
        ("good-pack:Quite", "pack 'good-pack' 1.0 has no such type"),
        ("Good_Pack:Hello", "pack 'good-pack' 1.0 has no such type"),
        ("short:Helo", "pack 'good-pack' 1.0 has no such type; did you mean 'short:Hello'?"),
        ("off-pack:X", "pack 'off-pack' 1.0 is disabled: comfytavern packs enable off-pack"),
        (
            "unlisted-pack:X",
            (
                "pack 'unlisted-pack' 1.0 is installed but not enabled:"
                " comfytavern packs enable unlisted-pack"
            ),
        ),
        ("waiting-pack:X", "pack 'waiting-pack' 1.0 is installed but not loaded"),
        (
            "bad-pack:X",
            (
                "pack 'bad-pack' 1.0 failed to load (import): No module named 'tiktoken';"
                " install it or disable the pack"
            ),
        ),
        ("old-pack:X", "pack 'old-pack' 1.0 does not fit this host: too old"),
        ("twin-pack:X", "pack 'twin-pack' 1.0 is in conflict: taken"),
        ("gone-pack:X", "pack 'gone-pack' 1.0 was uninstalled: pip install \"gone-pack\""),
        (
            "new-pack:X",
            (
                "pack 'new-pack' 1.0 has no such type; version 1.0 is in use, 2.0 is installed;"
                " restart the host"
            ),
        ),
        ("far:X", "pack 'far' is not installed: pip install \"far\""),
        (
            "god-pack:X",
            "pack 'god-pack' is not installed: pip install \"god-pack\"; did you mean 'good-pack'?",
        ),
        (
            "Hello",
            "a full type is 'namespace:Type'; did you mean 'good-pack:Hello' or 'short:Hello'?",
        ),
        ("Nothing", "a full type is 'namespace:Type'"),
        ("core:Helo", "did you mean 'core:Hello'?"),
        ("core:Nothing", "no pack behind 'core' has it (good-pack)"),
        ("none:X", "no pack behind 'none' has it (none)"),
        (
            "half:Helo",
            (
                "pack 'off-pack' 1.0 is disabled: comfytavern packs enable off-pack;"
                " pack 'far' is not installed: pip install \"far\"; did you mean 'half:Hello'?"
            ),
        ),
    ],
)
def test_a_missing_type_is_explained(full_type: str, explanation: str) -> None:
    registry = NodeRegistry(
        aliases={"core": ["good-pack"], "half": ["good-pack", "off-pack", "far"], "none": []},
        namespaces={"short": "good-pack"},
        records=lambda: RECORDS,
    )
    hello = [definition("Hello"), definition("Hello", "short")]
    registry.add_pack("good-pack", "1.0", hello, ["short"])
    assert registry.explain_missing(full_type) == explanation


def test_a_registry_by_itself_explains_from_what_it_holds() -> None:
    registry = NodeRegistry(aliases={})
    registry.add_pack("some-pack", "1.0", [definition("Hello")])
    assert registry.explain_missing("some-pack:Helo") == (
        "pack 'some-pack' 1.0 has no such type; did you mean 'some-pack:Hello'?"
    )
