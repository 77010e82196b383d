"""What the server answers: one module per noun, each a list of endpoints."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from ..service import Service
from . import (
    executions,
    history,
    login,
    nodes,
    packs,
    prompts,
    resources,
    sse,
    system,
    workflows,
)
from .endpoint import Endpoint, as_json
from .openapi import describe
from .page import front_page
from .websocket import serve_websocket

__all__ = ("ENDPOINTS", "UPLOAD_PATHS", "make_routes")

ENDPOINTS: tuple[Endpoint, ...] = (
    *prompts.ENDPOINTS,
    *sse.ENDPOINTS,
    *executions.ENDPOINTS,
    *history.ENDPOINTS,
    *nodes.ENDPOINTS,
    *packs.ENDPOINTS,
    *workflows.ENDPOINTS,
    *resources.ENDPOINTS,
    *system.ENDPOINTS,
    *login.ENDPOINTS,
)
# What takes other bodies than JSON.
UPLOAD_PATHS = ("/api/resources",)


def make_routes(service: Service) -> list[BaseRoute]:
    """Return all routes of a host."""
    root_path = service.config.server.root_path
    document = describe(ENDPOINTS, service.version, root_path)

    async def show_api(request: Request) -> Response:
        return as_json(document)

    async def show_page(request: Request) -> Response:
        return HTMLResponse(front_page(service))

    async def follow(websocket: WebSocket) -> None:
        await serve_websocket(websocket, service)

    return [
        Route("/", show_page, methods=["GET"]),
        WebSocketRoute("/ws", follow),
        Route("/api/openapi.json", show_api, methods=["GET"]),
        *(endpoint.route(service) for endpoint in ENDPOINTS),
    ]
