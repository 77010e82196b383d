"""What a pack contributes once it is imported: hooks, hookspecs, settings, nodes, services.

Every failure is a PackError of that pack.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ._client_scripts import is_script_path
from ._pack import Pack, blame_hook, call_hook, calling
from ._pack_hooks import PackHooks, read_implementations
from ._pack_settings import SettingsProblem, problems_of, read_block
from .definitions import NodeDefinition
from .errors import PackError, PackHookError, PackSettingsError

__all__ = ("PackLoader",)


class PackLoader:
    """The phases after the import, for one pack at a time."""

    def __init__(self, hooks: PackHooks) -> None:
        self._hooks = hooks

    def read_hooks(self, pack: Pack) -> None:
        """Read the hook implementations of the pack's plugins, without checking them.

        :raises PackHookError: one cannot be called the way hooks are called
        """
        for plugin in pack.plugins:
            with calling(pack, blame_hook(pack, "hooks")):
                pack.implementations += read_implementations(
                    self._hooks.plugins, pack.distribution, pack.version, plugin
                )
        if not pack.implementations and pack.plugins:
            with calling(pack, blame_hook(pack, "hooks")):
                pack.warnings.append(_nothing_to_call(pack, self._hooks.known()))

    def add_specs(self, pack: Pack) -> None:
        """Add the hookspecs that the pack contributes.

        :raises PackError: it has none after all, or their names are taken
        """
        carrier = self._answer(pack, "register_hookspecs", "hooks")
        if carrier is not None:
            with calling(pack, blame_hook(pack, "hooks")):
                self._hooks.add_specs(pack.distribution, pack.version, carrier)

    def register(self, pack: Pack) -> None:
        """Check the pack's hooks and register its plugins.

        :raises PackError: a hook is misspelt or asks for too much, or a plugin is taken
        """
        self._hooks.check(pack.implementations)
        # A hook that is being retired warns whoever implements it; that goes on the record.
        with warnings.catch_warnings(record=True) as retired:
            warnings.simplefilter("always")
            self._hooks.register(
                pack.distribution, pack.version, pack.plugins, pack.implementations
            )
        pack.warnings += [str(warning.message) for warning in retired]

    def validate_settings(self, pack: Pack) -> None:
        """Validate the pack's block in the config against the pack's own model.

        :raises PackSettingsError: it does not fit; ``problems`` says where
        :raises PackHookError: the model is none, or a validator of it broke
        """
        model = self._answer(pack, "settings_model", "settings")
        if model is None:
            if pack.block is not None:
                pack.warnings.append("the config holds settings for it, but it takes none")
            return
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise _wrong(pack, "settings_model", "settings", model, "a pydantic model class")
        pack.settings_model = model
        problems: tuple[SettingsProblem, ...] = ()
        with calling(pack, blame_hook(pack, "settings")):
            try:
                pack.settings = read_block(model, pack.block)
            except ValidationError as error:
                problems = problems_of(error)
        if problems:
            raise PackSettingsError(pack.distribution, problems)

    def definitions(self, pack: Pack) -> list[NodeDefinition]:
        """Ask the pack for its node definitions.

        :raises PackError: it raised, answered with something else, or names foreign code
        """
        found: list[NodeDefinition] = []
        for implementation in pack.implementations:
            if implementation.hook != "register_nodes":
                continue
            for definition in call_hook(pack, implementation, "nodes", list):
                if not isinstance(definition, NodeDefinition):
                    raise _wrong(pack, "register_nodes", "nodes", definition, "node definitions")
                _check_reference(pack, definition)
                _check_client_script(pack, definition)
                found.append(definition)
        return found

    def named(self, pack: Pack, hook: str, phase: str) -> dict[str, object]:
        """Ask for what a pack contributes by name: services, runners.

        :raises PackHookError: it raised, or answered with something else
        """
        named: dict[str, object] = {}
        for implementation in pack.implementations:
            if implementation.hook == hook:
                answer = call_hook(pack, implementation, phase, _as_is)
                if not isinstance(answer, Mapping) or not all(isinstance(n, str) for n in answer):
                    raise _wrong(pack, hook, phase, answer, "a mapping of names")
                named |= answer
        return named

    def _answer(self, pack: Pack, hook: str, phase: str) -> Any:  # Any: differs by hook
        """Ask a pack for a hook that it answers once; None if it does not implement it."""
        implementation = pack.implementation(hook)
        if implementation is None:
            return None
        self._hooks.check([implementation])
        return call_hook(pack, implementation, phase, _as_is)


def _check_reference(pack: Pack, definition: NodeDefinition) -> None:
    executes = (definition.execute, *(mode.execute for mode in definition.modes.values()))
    for execute in executes:
        if isinstance(execute, str) and not pack.owns(execute.partition(":")[0]):
            reason = (
                f"node type {definition.type!r} runs {execute!r},"
                " which is no part of the distribution"
            )
            raise PackError(pack.distribution, reason, version=pack.version, phase="nodes")


def _check_client_script(pack: Pack, definition: NodeDefinition) -> None:
    """Check that the page is sent to the pack for a node's script, and nowhere else."""
    url = definition.client_script_url
    if url is None or is_script_path(url):
        return
    raise PackError(
        pack.distribution,
        f"node type {definition.type!r} names the client script {url[:100]!r}, which can be no"
        " file of its package",
        version=pack.version,
        phase="nodes",
        remedy="name a .js or .mjs file relative to the package: client_scripts/Name.js",
    )


def _wrong(pack: Pack, hook: str, phase: str, answer: object, expected: str) -> PackHookError:
    reason = f"hook {hook!r} answered with a {type(answer).__name__}; expected {expected}"
    return PackHookError(pack.distribution, reason, version=pack.version, phase=phase)


def _nothing_to_call(pack: Pack, known: Iterable[str]) -> str:
    unmarked = [
        name for name in known for plugin in pack.plugins if callable(getattr(plugin, name, None))
    ]
    if unmarked:
        return f"it implements no hook; {unmarked[0]!r} is not marked with @hookimpl"
    return "it implements no hook, so it adds nothing"


def _as_is(value: Any) -> Any:  # Any: the answer of a hook
    return value
