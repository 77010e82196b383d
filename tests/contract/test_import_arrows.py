"""Who may import whom: the contracts of pyproject.toml, and no private names of core outside it."""

from __future__ import annotations

import ast
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

OUTSIDE_CORE = ("hostapp", "packages/comfytavern-core-nodes", "packages/comfytavern-llm-nodes")


@pytest.mark.timeout(60)
def test_import_contracts_hold(repository: Path) -> None:
    lint_imports = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run(
        [lint_imports, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def private_imports(source: Path) -> Iterator[str]:
    """Find imports of private modules or names of core in one file."""
    for statement in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.ImportFrom) and statement.level == 0:
            names = [f"{statement.module}.{alias.name}" for alias in statement.names]
        elif isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package == "comfytavern" and any(part.startswith("_") for part in rest):
                yield f"{source.name}:{statement.lineno} imports {name}"


@pytest.mark.parametrize("folder", OUTSIDE_CORE)
def test_no_private_name_of_core_is_used_outside(repository: Path, folder: str) -> None:
    found = [
        problem
        for source in (repository / folder / "src").rglob("*.py")
        for problem in private_imports(source)
    ]
    assert found == []


def test_importing_core_loads_no_web_stack_and_no_yaml() -> None:
    heavy = ["starlette", "uvicorn", "yaml", "httpx", "pytest"]
    probe = f"import sys, comfytavern; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
