"""How many cases of each file are left out: what the documentation says is what the files say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .test_cards import SKIPPED_TAGS
from .test_macros import UNSUPPORTED

CASES = Path(__file__).parent / "cases"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "role-play.md"
# What stands beside the cases in their files.
NO_CASES = {"chat", "prompts", "prompt_order"}
_ROW = re.compile(r"\| `(\w+\.json)` \| (\d+) \| (\d+) \|")


def cases_in(document: dict[str, Any]) -> Iterator[dict[str, Any]]:  # Any: JSON
    for name, value in document.items():
        if isinstance(value, list) and name not in NO_CASES:
            yield from (case for case in value if isinstance(case, dict))


def left_out(case: dict[str, Any]) -> bool:  # Any: JSON
    tagged = SKIPPED_TAGS.intersection(case.get("tags", ()))
    return bool(tagged) or "unsupported" in case or case.get("id") in UNSUPPORTED


def test_the_page_counts_what_is_left_out() -> None:
    counted: dict[str, tuple[int, int]] = {}
    for path in sorted(CASES.glob("*.json")):
        cases = [*cases_in(json.loads(path.read_text("utf-8")))]
        counted[path.name] = (len(cases), sum(map(left_out, cases)))
    rows = _ROW.findall(PAGE.read_text("utf-8"))
    assert {name: (int(cases), int(out)) for name, cases, out in rows} == counted
