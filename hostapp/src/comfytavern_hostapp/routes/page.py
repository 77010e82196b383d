"""The page at ``/``: what this is, and where its API is described."""

from __future__ import annotations

from html import escape

from ..service import Service

__all__ = ("front_page",)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ComfyTavern</title>
<h1>ComfyTavern {version}</h1>
<p>This server runs node workflows. It has {nodes} node types from {packs} packs.</p>
<ul>
<li><a href="{root}/api/openapi.json">the API, as OpenAPI 3.1</a>
<li><a href="{root}/api/nodes">node types</a>, <a href="{root}/api/plugins">packs</a>,
<a href="{root}/api/executions">what runs and waits</a>, <a href="{root}/api/history">history</a>
<li><a href="{root}/health">health</a>, <a href="{root}/api/system_stats">numbers</a>
</ul>
<p>Submit a workflow with <code>POST {root}/api/prompt</code> and watch it at
<code>{root}/ws</code>, or from a terminal: <code>comfytavern runs tail</code>.</p>
</html>
"""


def front_page(service: Service) -> str:
    """Return the page as HTML."""
    loaded = [record for record in service.host.records if record.state == "loaded"]
    return _PAGE.format(
        version=escape(service.version),
        nodes=len(service.host.registry),
        packs=len(loaded),
        root=escape(service.config.server.root_path, quote=True),
    )
