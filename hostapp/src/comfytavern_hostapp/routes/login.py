"""``/api/login``: a browser gets a cookie for the token, so that no page has to keep it."""

from __future__ import annotations

import hmac
import time

from starlette.responses import Response

from comfytavern.errors import HostError

from ..security import clear_cookie_header, set_cookie_header
from ..wire import LoginBody, LoginState
from .endpoint import Answer, Call, Endpoint, as_json

__all__ = ("ENDPOINTS",)


class WrongTokenError(HostError):
    """Somebody does not know the token."""

    code = "wrong_token"
    status = 401

    def __init__(self) -> None:
        super().__init__("that is not the token of this server (server.token)")


async def _login(call: Call[None, LoginBody]) -> Response:
    access = call.service.access
    if access.token is None or access.logins is None:
        return as_json(LoginState(logged_in=True, token_needed=False))
    if not hmac.compare_digest(call.body.token.encode(), access.token.encode()):
        raise WrongTokenError
    value = access.logins.issue(time.time())
    header = set_cookie_header(value, **_where(call))
    return as_json(LoginState(logged_in=True, token_needed=True), headers={"Set-Cookie": header})


async def _logout(call: Call[None, None]) -> Response:
    header = clear_cookie_header(**_where(call))
    needed = call.service.access.token is not None
    state = LoginState(logged_in=not needed, token_needed=needed)
    return as_json(state, headers={"Set-Cookie": header})


def _where(call: Call[None, LoginBody] | Call[None, None]) -> dict[str, str]:
    scheme = str(call.request.scope.get("scheme", "http"))
    return {"root_path": call.service.config.server.root_path, "scheme": scheme}


ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/login",
        _login,
        "Exchange the token for a cookie",
        "host",
        {200: Answer("the cookie is set", LoginState)},
        refusals=(422,),
        body=LoginBody,
    ),
    Endpoint(
        "POST",
        "/api/logout",
        _logout,
        "Clear the cookie",
        "host",
        {200: Answer("the cookie is cleared", LoginState)},
    ),
)
