"""What runs in a process of its own: a pack is loaded by a host that keeps nothing.

Started by ``probes``, with the pack's name, the packs that it requires, and the file for the
report as arguments. The pack may end this process or never come back; the parent sees to that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from comfytavern.definitions import NodeDefinition
from comfytavern.discovery import find_packs
from comfytavern.errors import PackError
from comfytavern.packs import PackChoice, PackManager


def report_on(distribution: str, beside: list[str]) -> dict[str, object]:
    """Load a pack, and with it those that it requires; return what became of it."""
    chosen = {distribution, *beside}
    found = [pack for pack in find_packs() if pack.distribution in chosen]
    own = {each.module.partition(".")[0] for pack in found for each in pack.entry_points}
    packs = PackManager(PackChoice(enabled=frozenset(chosen)), found=found)
    packs.load()
    nodes = packs.registry.of_pack(distribution)
    scripts = [
        [node.full_type, node.definition.client_script_url]
        for node in nodes
        if node.definition.client_script_url is not None
    ]
    files = [[node.full_type, path] for node in nodes if (path := node.definition.file_path)]
    commands = [each for each in packs.commands.values() if each.distribution == distribution]
    references = [[f"its command {each.name!r}", each.target] for each in commands]
    for node in nodes:
        named = f"node type {node.definition.type!r}"
        references += [[named, reference] for reference in _references(node.definition)]
    return {
        "record": packs.record(distribution).to_wire(traceback=False),
        "scripts": scripts,
        "files": files,
        "broken": [
            [who, problem]
            for who, reference in references
            if (problem := _problem(packs, distribution, reference, own))
        ],
    }


def _references(definition: NodeDefinition) -> list[str]:
    executes = (definition.execute, *(mode.execute for mode in definition.modes.values()))
    return [execute for execute in executes if isinstance(execute, str)]


def _problem(packs: PackManager, distribution: str, reference: str, tops: set[str]) -> str:
    """Say why code cannot be had. What it needs of others may be missing here on purpose."""
    try:
        packs.import_reference(reference, distribution)
    except PackError as error:
        missing = error.__cause__
        if isinstance(missing, ModuleNotFoundError):
            foreign = (missing.name or "").partition(".")[0] not in tops
            return "" if foreign else error.reason
        return error.reason
    return ""


def main() -> None:
    """Write the report; it is there only if nothing ended the process."""
    distribution, beside, file = sys.argv[1:]
    report = report_on(distribution, [name for name in beside.split(",") if name])
    Path(file).write_text(json.dumps(report), "utf-8")


if __name__ == "__main__":
    main()
