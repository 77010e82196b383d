"""Who may ask this server for what: hosts, origins, tokens, sizes, and where it may listen."""

from __future__ import annotations

from .bind import BindRefusedError, check_bind
from .login import LOGIN_COOKIE, LoginCookies, clear_cookie_header, set_cookie_header
from .middleware import SecurityMiddleware
from .policy import SecurityPolicy

__all__ = (
    "LOGIN_COOKIE",
    "BindRefusedError",
    "LoginCookies",
    "SecurityMiddleware",
    "SecurityPolicy",
    "check_bind",
    "clear_cookie_header",
    "set_cookie_header",
)
