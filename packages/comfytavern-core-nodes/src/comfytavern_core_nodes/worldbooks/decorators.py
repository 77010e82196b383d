"""Decorators: leading lines of an entry's content that begin with ``@@``."""

from __future__ import annotations

ACTIVATE = "@@activate"
DONT_ACTIVATE = "@@dont_activate"
_KNOWN = (ACTIVATE, DONT_ACTIVATE)


def parse_decorators(content: str) -> tuple[tuple[str, ...], str]:
    """Return the known decorators and the content without its decorator lines.

    ``@@@name`` stands in for an unknown decorator directly before it. Content that is nothing but
    decorators stays as it is, as in SillyTavern.
    """
    if not content.startswith("@@"):
        return (), content
    found: list[str] = []
    after_unknown = False
    lines = content.split("\n")
    for number, line in enumerate(lines):
        if not line.startswith("@@"):
            return tuple(found), "\n".join(lines[number:])
        if line.startswith("@@@"):
            if not after_unknown:
                continue
            line = line[1:]
        after_unknown = not line.startswith(_KNOWN)
        if not after_unknown:
            found.append(line)
    return tuple(found), content
