"""The whole application in this process, asked as a server would, whatever the path.

No client library rewrites a path or a header before the application sees it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
from starlette.types import ASGIApp, Message

from comfytavern_hostapp.app import create_app
from comfytavern_hostapp.hosting import ConfiguredHost, pack_choice

from .live_server import configured
from .security_requests import PORT, Answer, ask
from .stage_nodes import Stage, stage_pack

__all__ = ("BOUNDARY", "WholeApp", "form", "whole_app")

Json = dict[str, Any]  # Any: JSON
BOUNDARY = "a-boundary"


class WholeApp:
    """An application that has been started. ``data_dir`` is where it keeps things."""

    def __init__(self, app: ASGIApp, data_dir: Path, stage: Stage) -> None:
        self.app = app
        self.data_dir = data_dir
        self.stage = stage

    async def ask(
        self, request: str, *lines: str, body: Sequence[bytes] = (), **options: Any
    ) -> Answer:
        """Send a request such as ``GET /health``; the path is what a server has decoded.

        :param options: of ``security_requests.ask``
        """
        length = sum(map(len, body))
        if body and not any(line.lower().startswith("transfer-encoding:") for line in lines):
            lines = (*lines, f"content-length: {length}")
        return await ask(self.app, request, *lines, body=body, **options)

    async def send(self, request: str, value: object, *lines: str) -> Answer:
        """Send a request with a JSON body."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return await self.ask(request, "content-type: application/json", *lines, body=[body])

    async def upload(self, *parts: str | tuple[str, bytes], **fields: str) -> Answer:
        """Send a form of files, each a file name or that with a content, and fields."""
        return await self.ask(
            "POST /api/resources",
            f"content-type: multipart/form-data; boundary={BOUNDARY}",
            body=[form(*parts, **fields)],
        )

    async def put(self, path: str, content: bytes) -> Answer:
        """Send a file by itself, to ``root/path``."""
        request = f"PUT /api/resources/{path}"
        return await self.ask(request, "content-type: application/octet-stream", body=[content])

    def files(self) -> dict[str, bytes]:
        """Return all there is in the folder of the data directory, besides what runs leave."""
        found: dict[str, bytes] = {}
        for path in self.data_dir.parent.rglob("*"):
            name = path.relative_to(self.data_dir.parent).as_posix()
            if path.is_file() and not name.startswith(f"{self.data_dir.name}/runs."):
                found[name] = path.read_bytes()
        return found


def form(*parts: str | tuple[str, bytes], **fields: str) -> bytes:
    """Return the body of a form, as a browser puts it together."""
    named = [(part, b"content") if isinstance(part, str) else part for part in parts]
    files = [(f'"file"; filename="{name}"', content) for name, content in named]
    texts = [(f'"{key}"', value.encode()) for key, value in fields.items()]
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    written = [
        f"{head}{name}\r\n\r\n".encode(errors="surrogatepass") + content + b"\r\n"
        for name, content in (*texts, *files)
    ]
    return b"".join(written) + f"--{BOUNDARY}--\r\n".encode()


@asynccontextmanager
async def whole_app(
    data_dir: Path,
    *,
    token: str | None = None,
    packs: Sequence[str] = (),
    settings: Mapping[str, object] = MappingProxyType({}),
    **blocks: Mapping[str, object],
) -> AsyncIterator[WholeApp]:
    """Start the application of a host with the nodes of the stage, and end it.

    :param packs: which of the installed packs it has as well
    :param settings: those of packs
    :param blocks: those of the configuration, besides ``packs``
    """
    stage = Stage()

    def make() -> ASGIApp:
        config = configured(
            data_dir, **blocks, packs={"enabled": list(packs), "settings": settings}
        )
        host = ConfiguredHost(config, pack_choice(config))
        host.load()
        host.packs.add(stage_pack(stage), distribution="test")
        return create_app(host, port=PORT, token=token)

    app = await anyio.to_thread.run_sync(make)
    async with anyio.create_task_group() as tasks:
        ended = anyio.Event()
        await tasks.start(_live, app, ended)
        try:
            yield WholeApp(app, data_dir, stage)
        finally:
            stage.close()
            ended.set()


async def _live(
    app: ASGIApp, ended: anyio.Event, *, task_status: Any = anyio.TASK_STATUS_IGNORED
) -> None:  # Any: of None, which no fixture can say
    """Go through the lifespan of an application."""
    kinds = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive() -> Message:
        kind = next(kinds)
        if kind == "lifespan.shutdown":
            await ended.wait()
        return {"type": kind}

    async def send(message: Message) -> None:
        assert message["type"].endswith(".complete"), message
        if message["type"] == "lifespan.startup.complete":
            task_status.started()

    with anyio.CancelScope(shield=True):
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
