"""The cookie that a browser gets for the token, so that pages need not keep the token.

Nothing is stored. A cookie is the moment it ends at, sealed with the token: another token
unseals none of the old cookies, and no cookie tells the token.
"""

from __future__ import annotations

import hmac

LOGIN_COOKIE = "comfytavern_login"
LIFETIME = 30 * 24 * 3600

_PURPOSE = b"comfytavern login until "
_MAX_DIGITS = 12


class LoginCookies:
    """Issues and checks the values of login cookies."""

    __slots__ = ("_key",)

    def __init__(self, token: str) -> None:
        if not token:
            raise ValueError("a token without characters would let everybody in")
        self._key = token.encode()

    def issue(self, now: float) -> str:
        """Return a value that is good for thirty days.

        :param now: seconds since the epoch
        """
        end = str(int(now) + LIFETIME)
        return f"{end}.{self._seal(end)}"

    def check(self, value: str, now: float) -> bool:
        """Tell whether this token issued the value, and its time is not over."""
        end, _, seal = value.partition(".")
        if len(end) > _MAX_DIGITS or not (value.isascii() and end.isdigit()):
            return False
        return hmac.compare_digest(seal, self._seal(end)) and now < int(end)

    def _seal(self, end: str) -> str:
        return hmac.digest(self._key, _PURPOSE + end.encode(), "sha256").hex()


def set_cookie_header(value: str, *, root_path: str, scheme: str) -> str:
    """Return the value of the ``Set-Cookie`` header that logs a browser in.

    :param root_path: the prefix of all paths, as ``server.root_path`` has it
    :param scheme: how the browser reaches the server; ``https`` keeps the cookie off plain HTTP
    """
    return _header(value, LIFETIME, root_path, scheme)


def clear_cookie_header(*, root_path: str, scheme: str) -> str:
    """Return the value of the ``Set-Cookie`` header that logs a browser out."""
    return _header("", 0, root_path, scheme)


def _header(value: str, seconds: int, root_path: str, scheme: str) -> str:
    secure = "; Secure" if scheme == "https" else ""
    return (
        f"{LOGIN_COOKIE}={value}; Max-Age={seconds}; Path={root_path or '/'}; HttpOnly;"
        f" SameSite=Strict{secure}"
    )
