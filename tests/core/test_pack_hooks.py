"""Asking packs: hooks of packs, listeners, bypass, lifecycle, and packs in memory."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import anyio
import anyio.lowlevel
import pluggy
import pytest
from pydantic import BaseModel

from comfytavern.definitions import NodeDefinition
from comfytavern.errors import PackConflictError, PackError, PackHookError, PackSettingsError
from comfytavern.events import BypassRequest, NodeStarted
from comfytavern.hookspecs import PackContext, hookimpl, hookspec
from comfytavern.packs import Answer, PackChoice, PackManager, PackState


class Empty:
    """A plugin that implements nothing."""


def manager_of(*plugins: tuple[str, object], choice: PackChoice | None = None) -> PackManager:
    manager = PackManager(choice, found=[])
    for distribution, plugin in plugins:
        manager.add(plugin, distribution=distribution, version="1.0", finish=False)
    manager.finish()
    return manager


# Packs in memory --------------------------------------------------------------------


class Greeter:
    def __init__(self, *types: str) -> None:
        self.types = types or ("Hello",)

    @hookimpl
    def register_nodes(self) -> Iterable[NodeDefinition]:
        return [NodeDefinition(type=name, execute=f"{__name__}:execute") for name in self.types]


def execute() -> str:
    return "it ran"


def test_a_pack_in_memory_is_like_any_other() -> None:
    manager = PackManager(found=[])
    manager.add(Greeter(), distribution="Some_Pack", version="1.5")
    record = manager.record("some-pack")
    assert (record.state, record.version) == (PackState.LOADED, "1.5")
    assert record.node_types == ("some-pack:Hello",)
    node = manager.registry.get("some-pack:Hello")
    assert node is not None
    assert isinstance(node.definition.execute, str)
    assert manager.import_reference(node.definition.execute, "some-pack")() == "it ran"
    assert manager.digest() != PackManager(found=[]).digest()


def test_a_broken_pack_in_memory_raises_and_leaves_nothing() -> None:
    manager = PackManager(found=[])
    with pytest.raises(PackConflictError) as caught:
        manager.add(Greeter("A", "A"), distribution="some-pack")
    assert str(caught.value) == (
        "pack 'some-pack' 0.0.0 is in conflict: it has two node types 'some-pack:A'"
        f" ({__name__.replace('.', '/')}.py)"
    )
    assert manager.record("some-pack").state is PackState.CONFLICT
    assert manager.plugin_manager.list_name_plugin() == []
    manager.add(Greeter("A"), distribution="some-pack")
    assert manager.record("some-pack").state is PackState.LOADED


class WithSettings:
    class Model(BaseModel):
        size: int

    @hookimpl
    def settings_model(self) -> type[BaseModel]:
        return self.Model


def test_settings_of_a_pack_in_memory() -> None:
    choice = PackChoice(settings={"some-pack": {"size": 1}})
    manager = manager_of(("some-pack", WithSettings()), choice=choice)
    assert manager.settings_of("some-pack") == WithSettings.Model(size=1)
    manager.add(WithSettings(), distribution="other-pack", settings={"size": 2})
    assert manager.settings_of("other-pack") == WithSettings.Model(size=2)
    with pytest.raises(PackSettingsError) as caught:
        manager.add(WithSettings(), distribution="third-pack")
    assert str(caught.value) == (
        "pack 'third-pack' has settings that do not fit: size: Field required"
    )


class Sized:
    def __init__(self) -> None:
        self.context: PackContext | None = None

    @hookimpl
    def register_nodes(self, pack: PackContext) -> Iterable[NodeDefinition]:
        self.context = pack
        return []


def test_the_context_of_a_pack(tmp_path: Path) -> None:
    plugin = Sized()
    manager = PackManager(found=[], data_dir=tmp_path)
    manager.add(plugin, distribution="some-pack", version="1.5")
    pack = plugin.context
    assert pack is not None
    assert (pack.distribution, pack.version, pack.settings) == ("some-pack", "1.5", None)
    assert list(tmp_path.iterdir()) == []  # made when it is asked for
    assert pack.data_dir == tmp_path / "packs" / "some-pack"
    assert pack.data_dir.is_dir()
    manager_of(("some-pack", plugin))
    assert plugin.context is not None
    assert plugin.context.data_dir is None


class Hostile:
    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]  # hostile on purpose
        raise ValueError("no look")

    def __dir__(self) -> list[str]:
        raise ValueError("no look")


def test_a_plugin_that_cannot_be_looked_at() -> None:
    with pytest.raises(PackHookError) as caught:
        manager_of(("some-pack", Hostile()))
    assert str(caught.value) == (
        "pack 'some-pack' 1.0 has a broken hook: ValueError: no look;"
        " disable it with: comfytavern packs disable some-pack"
    )


# Hooks of packs ---------------------------------------------------------------------


class Specs:
    @hookspec
    def colours(self, pack: PackContext, dark: bool) -> str:
        """Contribute a colour."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def one_colour(self, dark: bool) -> str:
        """Contribute the colour."""
        raise NotImplementedError


class Painter:
    """Defines hooks and asks them when its services are wanted."""

    @hookimpl
    def register_hookspecs(self) -> object:
        return Specs()

    @hookimpl
    def register_services(self, pack: PackContext) -> Mapping[str, object]:
        return {"palette": [answer.value for answer in pack.ask("colours", dark=True)]}


class Red:
    @hookimpl
    def colours(self, dark: bool) -> str:
        return f"red {dark}"

    @hookimpl
    def one_colour(self) -> str | None:
        return None


class Own:
    @hookimpl(specname="colours", tryfirst=True)
    def whatever(self, pack: PackContext) -> str:
        return pack.distribution

    @hookimpl(trylast=True)
    def one_colour(self) -> str:
        return "last"


class Raising:
    @hookimpl
    def colours(self) -> str:
        raise SystemExit("no colour")

    @hookimpl
    def one_colour(self) -> str:
        return "one"


def test_a_pack_asks_the_others(caplog: pytest.LogCaptureFixture) -> None:
    manager = manager_of(
        ("painter", Painter()), ("c-own", Own()), ("b-red", Red()), ("q-raising", Raising())
    )
    assert manager.services == {"palette": ["c-own", "red True"]}
    assert manager.ask("colours", dark=False) == [
        Answer("c-own", "c-own"),
        Answer("b-red", "red False"),
    ]
    assert manager.ask("one_colour", dark=False) == [Answer("q-raising", "one")]
    assert manager.record("q-raising").warnings == (
        "hook 'colours' raised it called sys.exit('no colour')",
    )
    assert caplog.messages == 2 * [
        (
            "pack 'q-raising' 1.0 has a broken hook: hook 'colours' raised it called"
            " sys.exit('no colour')"
        )
    ]


@pytest.mark.parametrize(
    ("hook", "arguments", "error", "text"),
    [
        ("color", {}, ValueError, "no hook is named 'color'; did you mean 'colours'?"),
        ("colours", {}, TypeError, "hook 'colours' takes pack, dark; given: none"),
        (
            "one_colour",
            {"dark": True, "light": False},
            TypeError,
            "hook 'one_colour' takes dark; given: dark, light",
        ),
    ],
)
def test_asking_wrongly(
    hook: str, arguments: dict[str, object], error: type[Exception], text: str
) -> None:
    manager = manager_of(("painter", Painter()))
    with pytest.raises(error) as caught:
        manager.ask(hook, **arguments)
    assert str(caught.value) == text


class Optional:
    @hookimpl(optionalhook=True)
    def colours(self, light: bool) -> str:
        return str(light)


def test_an_optional_hook_needs_no_spec() -> None:
    manager = manager_of(("some-pack", Optional()))
    assert manager.record("some-pack").state is PackState.LOADED
    with pytest.raises(PackHookError) as caught:
        manager_of(("painter", Painter()), ("some-pack", Optional()))
    assert str(caught.value) == (
        "pack 'some-pack' 1.0 has a broken hook: hook 'colours' asks for 'light';"
        " it offers: pack, dark"
    )


def test_a_second_attempt_finds_its_own_hookspecs() -> None:
    class Failing(Painter):
        @hookimpl
        def register_nodes(self) -> Iterable[NodeDefinition]:
            raise ValueError("no luck")

    manager = PackManager(found=[])
    with pytest.raises(PackHookError):
        manager.add(Failing(), distribution="painter")
    manager.add(Painter(), distribution="painter")
    manager.add(Red(), distribution="b-red")
    assert manager.ask("colours", dark=True) == [Answer("b-red", "red True")]


def test_two_packs_cannot_define_one_hook() -> None:
    with pytest.raises(PackConflictError) as caught:
        manager_of(("a-pack", Painter()), ("b-pack", Painter()))
    assert str(caught.value) == (
        "pack 'b-pack' 1.0 is in conflict: it defines the hook 'colours', which is one of pack"
        " 'a-pack'"
    )


def test_two_packs_cannot_offer_one_service() -> None:
    class Offering:
        @hookimpl
        def register_services(self) -> Mapping[str, object]:
            return {"palette": 1}

    manager = PackManager(found=[])
    manager.add(Offering(), distribution="b-pack")
    with pytest.raises(PackConflictError) as caught:
        manager.add(Offering(), distribution="a-pack")
    assert str(caught.value) == (
        "pack 'a-pack' 0.0.0 is in conflict: service 'palette' is taken by pack 'b-pack'"
    )
    assert manager.services == {"palette": 1}


def test_runners_are_offered_by_name() -> None:
    class Offering:
        @hookimpl
        def register_runners(self) -> Mapping[str, object]:
            return {"cluster": print}

    assert manager_of(("some-pack", Offering())).runners == {"cluster": print}


def test_a_hook_that_is_being_retired_warns_on_the_record() -> None:
    spec = pluggy.HookspecMarker("comfytavern")

    class Old:
        @spec(warn_on_impl=DeprecationWarning("use colours instead"))
        def old_colours(self) -> str:
            raise NotImplementedError

        @hookimpl
        def register_hookspecs(self) -> object:
            return self

    class Late:
        @hookimpl
        def old_colours(self) -> str:
            return "grey"

    manager = manager_of(("a-pack", Old()), ("b-pack", Late()))
    assert manager.record("b-pack").warnings == ("use colours instead",)


# Listeners --------------------------------------------------------------------------


class Hearing:
    @hookimpl
    async def node_started(self, event: NodeStarted) -> None:
        """Event hooks may be coroutine functions."""

    @hookimpl
    def bypass_outputs(self, request: BypassRequest) -> None:
        return None


def test_listeners_come_in_a_stable_order() -> None:
    plugins = {name: Hearing() for name in ("b-pack", "a-pack")}
    manager = manager_of(*plugins.items())
    first, second = manager.listeners("node_started")
    assert (first.distribution, first.version) == ("a-pack", "1.0")
    assert (first.function, first.argument_names) == (plugins["a-pack"].node_started, ("event",))
    assert second.distribution == "b-pack"
    assert manager.listeners("run_started") == []


def test_bypass_is_decided_by_the_pack_then_by_whom_the_operator_lists() -> None:
    choice = PackChoice(bypass=("C_Pack", "a-pack", "d-pack"))
    names = ("a-pack", "b-pack", "c-pack")
    manager = manager_of(*((name, Hearing()) for name in names), choice=choice)
    deciders = {
        name: [decider.distribution for decider in manager.bypass_deciders(name)]
        for name in ("a-pack", "b-pack", "other")
    }
    assert deciders == {
        "a-pack": ["a-pack", "c-pack"],
        "b-pack": ["b-pack", "c-pack", "a-pack"],
        "other": ["c-pack", "a-pack"],
    }


# Lifecycle --------------------------------------------------------------------------

Told = Callable[[], Awaitable[None]]


class Living:
    def __init__(self, name: str, heard: list[str], fails: BaseException | None = None) -> None:
        self.name = name
        self.heard = heard
        self.fails = fails

    @hookimpl
    def host_started(self, pack: PackContext) -> Told | None:
        return lambda: self.hear(f"{pack.distribution} started")

    @hookimpl
    def host_stopping(self) -> Told | None:
        return lambda: self.hear(f"{self.name} stopping")

    async def hear(self, what: str) -> None:
        await anyio.lowlevel.checkpoint()
        if self.fails is not None:
            raise self.fails
        self.heard.append(what)


async def test_packs_hear_of_start_and_stop(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    manager = manager_of(
        ("b-pack", Living("b-pack", heard)),
        ("a-pack", Living("a-pack", heard)),
        ("bad-pack", Living("bad-pack", heard, ValueError("no luck"))),
    )
    await manager.stopping()
    assert heard == []  # nobody was told of a start
    await manager.started()
    manager.add(Living("c-pack", heard), distribution="c-pack")
    await manager.started()
    await manager.stopping()
    assert heard == [
        "a-pack started",
        "b-pack started",
        "c-pack started",
        "c-pack stopping",
        "b-pack stopping",
        "a-pack stopping",
    ]
    assert manager.record("bad-pack").warnings == (
        "hook 'host_started' raised ValueError: no luck",
        "hook 'host_stopping' raised ValueError: no luck",
    )
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]


async def test_stopping_is_carried_out_though_the_host_is_cancelled() -> None:
    heard: list[str] = []
    manager = manager_of(("a-pack", Living("a-pack", heard)))
    await manager.started()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await manager.stopping()
    assert heard == ["a-pack started", "a-pack stopping"]


async def test_a_pack_that_never_gets_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging:
        @hookimpl
        def host_started(self) -> Told:
            return anyio.sleep_forever

        @hookimpl
        def host_stopping(self) -> None:
            return None

    monkeypatch.setattr("comfytavern._pack_asking.LIFECYCLE_SECONDS", 0.0)
    manager = manager_of(("a-pack", Hanging()))
    with anyio.fail_after(1):
        await manager.started()
        await manager.stopping()
    assert manager.record("a-pack").warnings == ("hook 'host_started' took longer than 0 s",)


async def test_a_hook_that_returns_no_coroutine_function() -> None:
    class Wrong:
        @hookimpl
        def host_started(self) -> object:
            return lambda: None

    manager = manager_of(("a-pack", Wrong()))
    await manager.started()
    [warning] = manager.record("a-pack").warnings
    assert warning.startswith("hook 'host_started' raised TypeError: ")


def test_names_in_a_choice_are_normalised() -> None:
    choice = PackChoice(
        enabled=frozenset({"A_Pack"}),
        disabled=frozenset({"B.Pack"}),
        aliases={"core": ("Core_Nodes",)},
        namespaces={"Short": "C_Pack"},
        bypass=("D_Pack",),
        settings={"E_Pack": {}},
    )
    assert choice.names() == {"a-pack", "b-pack", "c-pack", "d-pack", "e-pack"}
    assert choice.aliases == {"core": ("core-nodes",)}
    assert choice.granted_to("c-pack") == {"Short"}
    assert PackChoice().names() == frozenset()


def test_empty_plugins_are_fine_in_memory() -> None:
    with pytest.raises(PackError, match="a pack of this name is loaded already"):
        manager_of(("some-pack", Empty()), ("Some-Pack", Empty()))
