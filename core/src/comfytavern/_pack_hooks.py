"""The hook implementations of the loaded packs: checked, attributed, asked one at a time.

pluggy knows the specs, reads the markers and holds the plugins. Calling is done here: a
``pm.hook.x()`` loses every answer when one implementation raises, and never says who
answered. So wrappers, which stand around other packs' answers, have no place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pluggy

from . import hookspecs
from .errors import PackConflictError, PackHookError, did_you_mean

__all__ = ("Implementation", "PackHooks", "read_implementations")

# Run-time hooks may be coroutine functions; the others are asked while the host loads.
_EVENTS = frozenset(hookspecs.EVENT_HOOKS)


class Implementation(NamedTuple):
    """One hook implementation of one pack."""

    hook: str
    distribution: str
    version: str
    function: Callable[..., Any]  # Any: each hook returns something else
    argument_names: tuple[str, ...]
    rank: int = 1
    optional: bool = False

    def call(self, arguments: Mapping[str, object]) -> Any:  # Any: see ``function``
        """Call it with those of the arguments that it asks for."""
        return self.function(*(arguments[name] for name in self.argument_names))


class PackHooks:
    """The hookspecs of the core and of packs, and who implements them."""

    def __init__(self) -> None:
        self.plugins = pluggy.PluginManager(hookspecs.PROJECT)
        self.plugins.add_hookspecs(hookspecs)
        self._owners = dict.fromkeys(_specs_in(self.plugins, hookspecs), "")
        self._by_hook: dict[str, tuple[Implementation, ...]] = {}

    def known(self) -> Sequence[str]:
        """Return the names of every hook that has a spec."""
        return sorted(self._owners)

    def specs_of(self, distribution: str) -> frozenset[str]:
        """Return the hooks that a pack specifies; for the empty name, the core's own."""
        return frozenset(name for name, owner in self._owners.items() if owner == distribution)

    def of(self, hook: str) -> tuple[Implementation, ...]:
        """Return who implements a hook: those that try first first, then by distribution."""
        return self._by_hook.get(hook, ())

    def arguments_of(self, hook: str) -> tuple[str, ...]:
        """Return the arguments that a hook offers."""
        caller: pluggy.HookCaller = getattr(self.plugins.hook, hook)
        assert caller.spec is not None  # only hooks with a spec are known
        return (*caller.spec.argnames, *caller.spec.kwargnames)

    def is_first_result(self, hook: str) -> bool:
        """Return whether the first answer to a hook settles it."""
        caller: pluggy.HookCaller = getattr(self.plugins.hook, hook)
        assert caller.spec is not None
        return caller.spec.opts["firstresult"]

    def add_specs(self, distribution: str, version: str, carrier: Any) -> None:
        """Add the hookspecs that a module or object of a pack carries.

        :raises PackConflictError: another pack or the core has a hook of that name
        :raises PackHookError: it carries none
        """
        names = _specs_in(self.plugins, carrier)
        if names and all(self._owners.get(name) == distribution for name in names):
            return  # left from an attempt that failed later on; pluggy cannot forget a spec
        for name in names:
            if name in self._owners:
                owner = self._owners[name]
                whose = f"of pack {owner!r}" if owner else "of the host"
                reason = f"it defines the hook {name!r}, which is one {whose}"
                raise PackConflictError(distribution, reason, version=version, phase="hooks")
        if not names:
            reason = "register_hookspecs returned something that carries no hookspec"
            raise PackHookError(distribution, reason, version=version, phase="hooks")
        self.plugins.add_hookspecs(carrier)
        self._owners.update(dict.fromkeys(names, distribution))

    def check(self, implementations: Iterable[Implementation]) -> None:
        """Check names and arguments against the specs, before anything is registered.

        :raises PackHookError: a hook is unknown, or is asked for what it does not offer
        """
        for implementation in implementations:
            problem, remedy = self._problem_of(implementation)
            if problem:
                raise PackHookError(
                    implementation.distribution,
                    problem,
                    version=implementation.version,
                    phase="hooks",
                    remedy=remedy,
                )

    def _problem_of(self, implementation: Implementation) -> tuple[str, str]:
        hook = implementation.hook
        if hook not in self._owners:
            if implementation.optional:
                return "", ""
            remedy = "if another pack defines it, mark it hookimpl(optionalhook=True)"
            return f"no hook is named {hook!r}{did_you_mean(hook, self._owners)}", remedy
        offered = self.arguments_of(hook)
        wrong = [name for name in implementation.argument_names if name not in offered]
        if wrong:
            listed = ", ".join(map(repr, wrong))
            return f"hook {hook!r} asks for {listed}", f"it offers: {', '.join(offered) or 'none'}"
        is_host_hook = not self._owners[hook] and hook not in _EVENTS
        if is_host_hook and inspect.iscoroutinefunction(implementation.function):
            return f"hook {hook!r} is a coroutine function", "make it a plain function"
        return "", ""

    def register(
        self,
        distribution: str,
        version: str,
        plugins: Sequence[object],
        found: Iterable[Implementation],
    ) -> None:
        """Register checked plugins of a pack; the first bears the distribution's name.

        :raises PackConflictError: another pack has registered the same object
        """
        for number, plugin in enumerate(plugins):
            taken = self._name_of(plugin)
            if taken is not None:
                reason = f"its plugin is the very object that pack {taken!r} registered"
                raise PackConflictError(distribution, reason, version=version, phase="hooks")
            name = f"{distribution}#{number + 1}" if number else distribution
            self.plugins.register(plugin, name)
        for implementation in found:
            others = self._by_hook.get(implementation.hook, ())
            ordered = sorted((*others, implementation), key=lambda i: (i.rank, i.distribution))
            self._by_hook[implementation.hook] = tuple(ordered)

    def unregister(self, distribution: str) -> None:
        """Remove everything that a pack registered; nothing registered is no error."""
        for name, _ in self.plugins.list_name_plugin():
            if name.partition("#")[0] == distribution:
                self.plugins.unregister(name=name)
        for hook, found in self._by_hook.items():
            self._by_hook[hook] = tuple(i for i in found if i.distribution != distribution)

    def _name_of(self, plugin: object) -> str | None:
        # By identity: comparing runs code of the packs.
        names = (name for name, other in self.plugins.list_name_plugin() if other is plugin)
        return next((name.partition("#")[0] for name in names), None)


def read_implementations(
    plugins: pluggy.PluginManager, distribution: str, version: str, plugin: object
) -> list[Implementation]:
    """Return the hook implementations that a plugin carries, unchecked.

    :raises PackHookError: one cannot be called the way hooks are called
    """
    found: list[Implementation] = []
    for attribute in dir(plugin):
        options = plugins.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            continue
        hook = options.get("specname") or attribute
        function = getattr(plugin, attribute)
        problem = _shape_problem(plugin, attribute, function)
        if options.get("wrapper") or options.get("hookwrapper"):
            problem = "is a wrapper; packs are asked one at a time, so there is nothing to wrap"
        if problem:
            reason = f"hook {hook!r} {problem}"
            raise PackHookError(distribution, reason, version=version, phase="hooks")
        rank = 0 if options.get("tryfirst") else 2 if options.get("trylast") else 1
        names = tuple(p.name for p in _parameters(function) if p.default is p.empty)
        optional = bool(options.get("optionalhook"))
        found.append(Implementation(hook, distribution, version, function, names, rank, optional))
    return found


def _shape_problem(plugin: object, attribute: str, function: Callable[..., object]) -> str:
    if inspect.isclass(plugin) and inspect.isfunction(inspect.getattr_static(plugin, attribute)):
        return f"is a method of the class {plugin.__name__!r}; let the entry point name an instance"
    keyword_only = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    ]
    if keyword_only:
        return f"takes {keyword_only[0]!r} by keyword only; hooks pass arguments by position"
    return ""


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [parameter for parameter in parameters if parameter.kind in positional]


def _specs_in(plugins: pluggy.PluginManager, carrier: Any) -> list[str]:
    return [name for name in dir(carrier) if plugins.parse_hookspec_opts(carrier, name)]
