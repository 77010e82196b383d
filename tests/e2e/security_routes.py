"""What the tests of the security checklist share: every route, and what a change would leave."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any
from urllib.parse import urlsplit

import anyio

from comfytavern_hostapp.routes import ENDPOINTS, UPLOAD_PATHS
from comfytavern_hostapp.routes.endpoint import Endpoint

from ..hostapp.whole_app import BOUNDARY, WholeApp
from ..scenarios.building import flow, place

__all__ = (
    "FORM",
    "JSON",
    "OCTETS",
    "PAGES",
    "READING",
    "RUN",
    "SMALL",
    "TOKEN",
    "UNSAFE",
    "Json",
    "over_http",
    "path_of",
    "request",
    "takes_files",
    "traces",
)

Json = dict[str, Any]  # Any: JSON
TOKEN = "sesame-0123456789-abcdef"
RUN = flow(place("a", "Repeat", text="x"))
SMALL = json.dumps(RUN).encode()
JSON = "content-type: application/json"
FORM = f"content-type: multipart/form-data; boundary={BOUNDARY}"
OCTETS = "content-type: application/octet-stream"
UNSAFE = [endpoint for endpoint in ENDPOINTS if endpoint.method != "GET"]
READING = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET"]
PAGES = ["GET /", "GET /api/openapi.json", "GET /nothing", "GET /api/nothing"]


def path_of(endpoint: Endpoint, name: str = "x") -> str:
    """Return a path of an endpoint."""
    return re.sub(r"{\w+(:path)?}", name, endpoint.path)


def request(endpoint: Endpoint) -> str:
    """Return the beginning of a request for an endpoint."""
    return f"{endpoint.method} {path_of(endpoint)}"


def takes_files(endpoint: Endpoint) -> bool:
    """Tell whether bodies other than JSON reach an endpoint."""
    return endpoint.path.startswith(UPLOAD_PATHS)


async def traces(app: WholeApp) -> tuple[int, object, dict[str, bytes]]:
    """Return what any change would show in: stored runs, the queue, files."""
    runs = json.loads((await app.ask("GET /api/history")).body)["total"]
    queue = json.loads((await app.ask("GET /api/executions")).body)
    return runs, queue, await anyio.to_thread.run_sync(app.files)


def over_http(url: str, method: str, path: str, body: object = None, **headers: str) -> str:
    """Send a request to a server in another process, and return the text of the answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json", **headers})
    found = connection.getresponse().read().decode()
    connection.close()
    return found
