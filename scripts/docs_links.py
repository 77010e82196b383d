"""Show links out of ``docs/`` as paths on the site, where the rest of the checkout is not.

MkDocs calls this module (see ``mkdocs.yml``). The pages keep ordinary relative links, which work
wherever the checkout is browsed. A path that does not exist fails a strict build.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

# Warnings below this name are what --strict counts.
logger = logging.getLogger("mkdocs.hooks.docs_links")

# A fenced block, which stays as it is, or a link that leaves the folder of its page.
_FENCE_OR_LINK = re.compile(
    r"^(?P<fence> *`{3,}).*?^(?P=fence)`* *$|\[(?P<text>[^\]]+)\]\((?P<path>\.\./[^)#\s]+)[^)]*\)",
    re.DOTALL | re.MULTILINE,
)


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace each link that leaves ``docs/`` by its text and the path in the checkout."""
    root = Path(config.docs_dir).parent

    def shown(found: re.Match[str]) -> str:
        if found["fence"]:
            return found[0]
        target = (Path(config.docs_dir) / page.file.src_uri).parent / found["path"]
        if not target.exists():
            logger.warning("%s: %r does not exist", page.file.src_uri, found["path"])
            return found[0]
        if not (place := target.resolve()).is_relative_to(root):
            logger.warning("%s: %r leaves the checkout", page.file.src_uri, found["path"])
            return found[0]
        return f"{found['text']} (`{place.relative_to(root).as_posix()}`)"

    return _FENCE_OR_LINK.sub(shown, markdown)
