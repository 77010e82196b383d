"""What ``docs/security.md`` calls a proof is there, and no row of the checklist is left out."""

from __future__ import annotations

import re
from pathlib import Path

ROWS = [str(number) for number in range(1, 19)]


def test_every_row_names_tests_that_exist(repository: Path) -> None:
    text = (repository / "docs" / "security.md").read_text("utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [row[0].strip() for row in rows] == ROWS
    places = (repository / "tests", repository / "packages")
    files = [file for place in places for file in place.rglob("test_*.py")]
    defined = {file.name for file in files}
    for file in files:
        pattern = r"^\s*(?:async def|def|class) (test_\w+|Test\w+)"
        defined.update(re.findall(pattern, file.read_text("utf-8"), re.MULTILINE))
    for number, _, _, proof in rows:
        named = re.findall("`([^`]+)`", proof)
        assert named, f"row {number.strip()} has no proof"
        assert set(named) <= defined, number
