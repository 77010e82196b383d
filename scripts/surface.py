"""Show what pack authors build on: every public name of core, with its signature.

    python scripts/surface.py            compare the code with the snapshot
    python scripts/surface.py --write    write the snapshot anew

It reads sources and imports nothing, so that it says the same on every version of Python and of
the libraries. A change of the snapshot needs a line in core's changelog: that is checked against
git, see ``unannounced``.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "comfytavern"
SNAPSHOT = "tests/contract/public_surface.txt"
CHANGELOG = "core/CHANGELOG.md"
# Besides what packs may import: what their tests use, and what hookspecs speak of.
MORE_MODULES = ("fake_llm", "runner", "testing", "_pytest_plugin")
# Methods whose names begin with underscores, and that callers rely on all the same.
PROTOCOL = (
    "__init__ __call__ __iter__ __aiter__ __len__ __getitem__ __contains__ __bool__ __or__"
    " __enter__ __exit__ __aenter__ __aexit__ __str__"
).split()
REMEDY = (
    "if the change is meant: python scripts/surface.py --write, and say what changes for pack"
    f" authors in {CHANGELOG}, in the same commit"
)


def public_modules(root: Path = ROOT) -> tuple[str, ...]:
    """Return the modules that packs may import, as the import contract lists them."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    [packs] = [each for each in contracts if each["id"] == "packs-see-the-public-surface"]
    listed = [entry.rpartition(".")[2] for entry in packs["ignore_imports"]]
    there = [name for name in listed if source_of(root, name).exists()]
    return (*sorted(there), *MORE_MODULES)


def source_of(root: Path, module: str) -> Path:
    """Return the file of a module of core; an empty name is the package itself."""
    return root / "core" / "src" / PACKAGE / f"{module or '__init__'}.py"


@cache
def tree_of(root: Path, module: str) -> ast.Module:
    """Parse a module of core."""
    return ast.parse(source_of(root, module).read_text(encoding="utf-8"))


def surface(root: Path = ROOT) -> str:
    """Return the whole surface as text, one block for each name."""
    modules = public_modules(root)
    blocks = [
        "# What pack authors build on; written by scripts/surface.py, never by hand.",
        module_text(root, "", modules),
        *(module_text(root, module, modules) for module in modules),
    ]
    return "\n\n".join(blocks) + "\n"


def module_text(root: Path, module: str, modules: tuple[str, ...]) -> str:
    """Return the names of one module; one that has its home in another is only named."""
    lines = [f"== {PACKAGE}.{module}" if module else f"== {PACKAGE}"]
    tree = tree_of(root, module)
    for name in sorted({*exported(tree), *marked(tree, "hookspec"), *marked(tree, "fixture")}):
        home, statements = definition(root, module, name, modules)
        if home != module and home in modules:
            lines.append(f"{name}: see {PACKAGE}.{home}")
        else:
            lines += [line for node in statements for line in described(root, home, name, node)]
    return "\n".join(lines)


def exported(tree: ast.Module) -> tuple[str, ...]:
    """Return what ``__all__`` lists."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            names: tuple[str, ...] = ast.literal_eval(statement.value)
            return names
    return ()


def marked(tree: ast.Module, mark: str) -> list[str]:
    """Return the public functions with a decorator: they are public by what marks them."""
    return [
        statement.name
        for statement in tree.body
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
        and not statement.name.startswith("_")
        and any(ast.unparse(d).rpartition(".")[2] == mark for d in statement.decorator_list)
    ]


def definition(
    root: Path, module: str, name: str, modules: tuple[str, ...] = ()
) -> tuple[str, list[ast.stmt]]:
    """Return where a name is defined, through the imports that hand it on.

    :param modules: where to stop, as the name is listed there
    :raises LookupError: it is defined nowhere in core
    """
    for statement in ast.walk(tree_of(root, module)):
        if isinstance(statement, ast.ImportFrom) and statement.level == 1:
            home = statement.module or ""
            for alias in statement.names:
                if (alias.asname or alias.name) != name:
                    continue
                if home in modules and name in exported(tree_of(root, home)):
                    return home, []
                return definition(root, home, alias.name, modules)
    found = [statement for statement in tree_of(root, module).body if name in bound(statement)]
    if not found:
        raise LookupError(f"{PACKAGE}.{module} exports {name!r}, which is defined nowhere")
    return module, found[:-1] if is_overload(found[0]) else found[-1:]


def is_overload(node: ast.stmt) -> bool:
    """Return whether it is one of several signatures, after which the function itself comes."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
        ast.unparse(decorator) == "overload" for decorator in node.decorator_list
    )


def bound(statement: ast.stmt) -> list[str]:
    """Return the names that a statement defines."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def described(root: Path, module: str, name: str, node: ast.stmt) -> list[str]:
    """Return the lines of one name: its signature, and what is public in a class."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return signature(node)
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in [*node.bases, *node.keywords])
        head = [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]
        members = [f"    {line}" for line in class_members(root, module, node)]
        return [*head, f"class {name}({bases})" if bases else f"class {name}", *members]
    return [ast.unparse(node)]


def class_members(root: Path, module: str, node: ast.ClassDef) -> Iterator[str]:
    """Yield what is public in a class, in the order of the source: of a dataclass it counts."""
    for base in node.bases:
        name = ast.unparse(base)
        if name.startswith("_"):  # nobody else may name it, so it is part of this class
            home, [inherited] = definition(root, module, name)
            assert isinstance(inherited, ast.ClassDef)
            yield from class_members(root, home, inherited)
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if not statement.name.startswith("_") or statement.name in PROTOCOL:
                yield from signature(statement)
            if statement.name == "__init__":
                yield from attributes(statement)
        elif any(not name.startswith("_") for name in bound(statement)):
            yield ast.unparse(statement)


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return a function's decorators and head, without its body."""
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    decorators = [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]
    return [*decorators, f"{kind} {node.name}({ast.unparse(node.args)}){returns}"]


def attributes(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Yield the public attributes that a constructor sets."""
    for statement in ast.walk(node):
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            text = ast.unparse(target)
            if text.startswith("self.") and not text.startswith("self._"):
                yield text


def difference(root: Path = ROOT) -> str:
    """Return how the code differs from the snapshot; empty if it does not."""
    snapshot = root / SNAPSHOT
    before = snapshot.read_text(encoding="utf-8") if snapshot.exists() else ""
    lines = difflib.unified_diff(
        before.splitlines(), surface(root).splitlines(), SNAPSHOT, "the code", lineterm="", n=1
    )
    return "\n".join(lines)


def unannounced(root: Path = ROOT) -> str:
    """Return why the changelog must change; empty if it need not, or where there is no git.

    The snapshot on disk is held against the last commit, and against where this branch left
    the one that it will go to. Where it differs, so must the changelog.
    """
    for revision in revisions(root):
        if changed(root, revision, SNAPSHOT) and not changed(root, revision, CHANGELOG):
            return (
                f"{SNAPSHOT} differs from {revision} and {CHANGELOG} does not; say there what"
                " changes for pack authors"
            )
    return ""


def revisions(root: Path) -> list[str]:
    """Return the commits to compare with."""
    if git(root, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        return []
    upstream = git(root, "merge-base", "HEAD", "@{upstream}")
    base = upstream or git(root, "merge-base", "HEAD", "main")
    return ["HEAD"] if not base else ["HEAD", base.strip()]


def changed(root: Path, revision: str, path: str) -> bool:
    """Return whether a file on disk is another one than in a commit."""
    file = root / path
    now = file.read_text(encoding="utf-8") if file.exists() else None
    return git(root, "show", f"{revision}:{path}") != now


def git(root: Path, *arguments: str) -> str | None:
    """Return what a git command prints; None if it fails, or if there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", root, *arguments], capture_output=True, encoding="utf-8", check=False
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def check(root: Path = ROOT) -> tuple[bool, str]:
    """Return whether snapshot and changelog keep up with the code, and what is wrong."""
    found = difference(root)
    if found:
        return False, f"{found}\n\nthe public surface has changed; {REMEDY}"
    problem = unannounced(root)
    return not problem, problem


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the snapshot anew")
    if parser.parse_args().write:
        (ROOT / SNAPSHOT).write_text(surface(), encoding="utf-8")
    passed, problem = check()
    print(problem or "the public surface is as the snapshot says")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
