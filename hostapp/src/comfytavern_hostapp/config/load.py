"""Finding, reading and layering the configuration: flag, environment, file, default."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from ..config_places import CONFIG_VARIABLE, FILE_NAME, user_config_path
from .findings import problems_of
from .model import Config
from .origins import KeyPath, Origin, Provenance
from .overlay import apply, environment_overlays, flag_overlays, misspelt_variables
from .problems import ConfigError, Problem
from .references import SecretReference
from .source import Source, read_source
from .values import Unfit, distribution_name


def find_config(
    path: str | Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Path | None:
    """Find the file: the given path, COMFYTAVERN_CONFIG, the directory, the user's own.

    :param directory: in place of the working directory
    :return: None if there is none, which is no error
    :raises ConfigError: a file that somebody named does not exist
    """
    environment = os.environ if environment is None else environment
    variable = environment.get(CONFIG_VARIABLE)
    if path is None and variable:
        return _existing(variable, f"variable {CONFIG_VARIABLE!r}")
    if path is not None:
        return _existing(path, "flag '--config'")
    for candidate in ((directory or Path()) / FILE_NAME, user_config_path()):
        if os.path.isfile(candidate):
            return candidate
    return None


def _existing(path: str | Path, who: str) -> Path:
    expanded = Path(os.path.expanduser(path))
    if not os.path.exists(expanded):
        raise ConfigError([Problem(f"config file {str(expanded)!r} of {who} does not exist")])
    if os.path.isdir(expanded):
        raise ConfigError([Problem(f"config file {str(expanded)!r} of {who} is a directory")])
    return expanded


def load_config(
    path: str | Path | None = None,
    *,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Config:
    """Make the configuration from flags, environment, file and defaults, in that order.

    References to secrets are read, not resolved. Packs are not asked: their blocks are
    kept as they stand.

    :param flags: dotted key -> value; None means that the flag was not given
    :param environment: in place of ``os.environ``
    :raises ConfigError: everything that is wrong, at once
    """
    environment = os.environ if environment is None else environment
    found = find_config(path, environment=environment, directory=directory)
    source = Source() if found is None else read_source(found)
    return build_config(source, flags=flags, environment=environment)


def build_config(
    source: Source,
    *,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Make the configuration from a source that was read already.

    :raises ConfigError: everything that is wrong, at once
    """
    environment = {} if environment is None else environment
    data, origins = copy.deepcopy(source.data), dict(source.origins)
    file_runner = data.get("runner")
    if source.path is not None:
        _anchor(data, source.path.parent)
    overlays, problems = flag_overlays(flags or {})
    problems.extend(source.problems)
    apply([*environment_overlays(environment), *overlays], data, origins)
    problems.extend(_take_runner_block(data, origins, file_runner))
    try:
        config = Config.model_validate(data)
    except ValidationError as exc:
        problems.extend(problems_of(exc, data, origins))
        # The cause is not chained: its traceback could show a secret that stands in the file.
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    provenance = Provenance(
        source.path,
        MappingProxyType({_canonical(path): origin for path, origin in origins.items()}),
        misspelt_variables(environment),
    )
    return config.with_provenance(provenance)


def _take_runner_block(
    data: dict[str, object], origins: dict[KeyPath, Origin], file_runner: object
) -> list[Problem]:
    """Move the chosen runner's block to where the model keeps it.

    A block of the runner that the file names stays allowed when a flag chooses another.
    """
    problems: list[Problem] = []
    if "runner_settings" in data:
        problems.append(
            Problem(
                "unknown key 'runner_settings'; a runner's block is named as the runner",
                origins.get(("runner_settings",)),
                "runner_settings",
            )
        )
        del data["runner_settings"]
    runner = data.get("runner", "local")
    for name in (runner, file_runner):
        if isinstance(name, str) and name != "local" and name not in Config.model_fields:
            block = data.pop(name, None)
            if name == runner and block is not None:
                data["runner_settings"] = block
                origins |= {
                    ("runner_settings", *path[1:]): origin
                    for path, origin in origins.items()
                    if path[0] == name
                }
    return problems


def _anchor(data: dict[str, object], directory: Path) -> None:
    """Make the file's relative paths relative to the file, wherever the host is started."""

    def anchored(value: object) -> object:
        if isinstance(value, str) and value.strip() and not value.startswith("~"):
            return str(directory / value)
        return value

    def anchored_reference(value: object) -> object:
        reference = SecretReference.parse(value) if isinstance(value, str) else None
        if reference is None or reference.kind == "env":
            return value
        return f"file:{anchored(reference.name)}"

    if "data_dir" in data:
        data["data_dir"] = anchored(data["data_dir"])
    _change(data, ("resources", "roots", None), anchored)
    _change(data, ("server", "token"), anchored_reference)
    _change(data, ("secrets", None, "value"), anchored_reference)


def _change(data: object, path: tuple[str | None, ...], change: Callable[[object], object]) -> None:
    """Change the value at ``path`` where there is one; None stands for every entry."""
    if not isinstance(data, dict):
        return
    head, *rest = path
    for key in [key for key in data if head in (None, key)]:
        if rest:
            _change(data[key], tuple(rest), change)
        else:
            data[key] = change(data[key])


def _canonical(path: KeyPath) -> KeyPath:
    """Spell the distribution in ``packs.settings.<distribution>`` as the model does."""
    if path[:2] != ("packs", "settings") or len(path) < 3:
        return path
    try:
        return (*path[:2], distribution_name(path[2]), *path[3:])
    except Unfit:
        return path
