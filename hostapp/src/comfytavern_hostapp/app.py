"""The web application of a host: its routes behind the security middleware."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from comfytavern.runner import AbandonedNode

from .config import Config
from .hosting import ConfiguredHost
from .routes import UPLOAD_PATHS, make_routes
from .routes.refusals import refuse_unrouted
from .security import SecurityMiddleware, SecurityPolicy
from .service import Access, Service
from .store import RunStore

__all__ = ("create_app",)


def create_app(
    host: ConfiguredHost,
    *,
    port: int,
    token: str | None = None,
    store: RunStore | None = None,
    paused: bool = False,
    set_aside: bool = False,
    reread: Callable[[], Config] | None = None,
    on_stuck: Callable[[Sequence[AbandonedNode]], None] | None = None,
) -> ASGIApp:
    """Return the application of a host whose packs are loaded. It runs on asyncio.

    Its lifespan opens the data directory and starts what waits there; that raises
    ``ComfyTavernError`` if it cannot.

    :param port: where it will listen, which the system may have chosen
    :param token: what ``server.token`` refers to
    :param store: where runs are kept; by default below the data directory
    :param paused: begin without starting runs
    :param set_aside: if the file of runs is damaged, give it another name and begin without
    :param reread: reads the configuration anew; without it a reload goes by the present one
    :param on_stuck: called at the very end if nodes do not stop; see ``Service``
    """
    server, limits = host.config.server, host.config.limits
    policy = SecurityPolicy.of(
        server, port=port, body_limit=limits.body, token=token, upload_paths=UPLOAD_PATHS
    )
    service = Service(
        host,
        access=Access(server.host, port, token, policy.logins),
        store=store,
        paused=paused,
        set_aside=set_aside,
        reread=reread,
        on_stuck=on_stuck,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await to_thread.run_sync(mimetypes.init)  # reads files, once; later it would on the loop
        async with service:
            yield

    app = Starlette(
        routes=make_routes(service),
        lifespan=lifespan,
        exception_handlers={HTTPException: refuse_unrouted},
    )
    app.router.redirect_slashes = False  # no answer leads anywhere else
    app.state.service = service
    return SecurityMiddleware(app, policy)
