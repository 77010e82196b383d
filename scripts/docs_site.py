"""Build the site of ``docs/``: every warning is an error, and no page asks another host.

    python scripts/docs_site.py FOLDER      build it, to look at or to publish

As a check it is built into a temporary folder, never into the checkout.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Attributes that a browser follows by itself; a link waits for somebody to click on it.
FETCHED = {"src", "srcset", "poster", "data"}
# <link> of these kinds only says something about the page.
SAID = {"canonical", "next", "prev"}


class Fetches(HTMLParser):
    """Collect what a page makes a browser fetch from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the addresses of one element."""
        given = {name: value or "" for name, value in attrs}
        names = FETCHED if tag != "link" or given.get("rel") in SAID else FETCHED | {"href"}
        for name in sorted(names & given.keys()):
            if given[name].startswith(("http:", "https:", "//")):
                self.found.append(given[name])


def fetches(site: Path) -> Iterator[str]:
    """Name each address on another host that a page of the site has fetched."""
    for page in sorted(site.rglob("*.html")):
        parser = Fetches()
        parser.feed(page.read_text(encoding="utf-8"))
        for address in parser.found:
            yield f"{page.relative_to(site).as_posix()}: fetches {address} from another host"


def build(site: Path, root: Path = ROOT) -> tuple[bool, str]:
    """Build the site into a folder; give whether all is well, and what was said."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    # The theme advertises its successor in every build.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return False, done.stdout + done.stderr
    problems = list(fetches(site))
    return not problems, "\n".join(problems)


def check() -> tuple[bool, str]:
    """Build the site of this checkout into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return build(Path(folder) / "site")


def main() -> int:
    """Build the site into the named folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    passed, said = build(folder)
    print(said if said else f"the site stands in {folder}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
