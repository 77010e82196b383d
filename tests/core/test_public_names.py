"""Public names: the exported exist, the public are exported, and importing loads nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import comfytavern

MODULES = sorted(
    f"comfytavern.{module.name}"
    for module in pkgutil.iter_modules(comfytavern.__path__)
    if not module.name.startswith("_")
)


@pytest.mark.parametrize("name", comfytavern.__all__)
def test_what_the_package_exports_is_there(name: str) -> None:
    assert getattr(comfytavern, name) is not None
    assert getattr(comfytavern, name) is getattr(comfytavern, name)


def test_the_package_exports_a_tuple() -> None:
    assert isinstance(comfytavern.__all__, tuple)
    assert len(set(comfytavern.__all__)) == len(comfytavern.__all__)
    assert set(comfytavern.__all__) <= set(dir(comfytavern))


def test_type_checkers_see_what_there_is_to_see() -> None:
    """What stands below ``if TYPE_CHECKING`` is what the names really are."""
    tree = ast.parse(inspect.getsource(comfytavern))
    imports = [statement for statement in ast.walk(tree) if isinstance(statement, ast.ImportFrom)]
    seen = {alias.name: found.module for found in imports if found.level for alias in found.names}
    assert sorted(seen) == sorted(comfytavern.__all__)
    for name, module in seen.items():
        home = importlib.import_module(f"comfytavern.{module}")
        assert getattr(home, name) is getattr(comfytavern, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError) as caught:
        comfytavern.nothing  # noqa: B018 - reading it is the point
    assert str(caught.value) == "module 'comfytavern' has no attribute 'nothing'"


def exported(module: ModuleType) -> tuple[str, ...]:
    names = module.__all__
    assert isinstance(names, tuple)
    return names


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_exports_is_there(name: str) -> None:
    module = importlib.import_module(name)
    names = exported(module)
    assert len(set(names)) == len(names)
    assert [missing for missing in names if not hasattr(module, missing)] == []
    assert [hidden for hidden in names if hidden.startswith("_")] == []


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_in_a_module_is_exported(name: str) -> None:
    module = importlib.import_module(name)
    public = [
        found
        for found, value in vars(module).items()
        if not found.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
        and not hasattr(value, "comfytavern_spec")  # hooks are asked for by name, not imported
    ]
    assert sorted(set(public) - set(exported(module))) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_lives_in_it(name: str) -> None:
    doc = importlib.import_module(name).__doc__
    assert doc
    first = doc.splitlines()[0]
    assert first.endswith((".", "?", ":")) or doc.split("\n\n")[0].endswith((".", "?", ":"))


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after a statement."""
    probe = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing() -> None:
    loaded = loaded_by("import comfytavern")
    heavy = {"pydantic", "anyio", "pluggy", "asyncio", "trio", "logging"}
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith("comfytavern.")} == set()


def test_a_name_loads_its_home_only() -> None:
    assert "pydantic" not in loaded_by("from comfytavern import DataFlowType, Chunk, PackError")
    assert "pydantic" in loaded_by("from comfytavern import NodeDefinition")


def test_core_says_that_it_is_typed() -> None:
    assert comfytavern.__file__ is not None
    assert (Path(comfytavern.__file__).parent / "py.typed").is_file()
