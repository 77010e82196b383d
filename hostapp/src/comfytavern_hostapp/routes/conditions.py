"""What a request makes its answer depend on: entity tags that the client has seen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from comfytavern.errors import HostError

__all__ = ("REVALIDATED", "creates_only", "is_known", "not_modified", "wanted")

# A cache may keep it and has to ask each time whether it still holds.
REVALIDATED = {"Cache-Control": "private, no-cache"}

# More than any client has seen of one thing; each of them costs a look at the file.
MAX_TAGS = 20

_TAG = re.compile(r'(W/)?("[^"]*")')


class PreconditionError(HostError):
    """A precondition that says nothing here."""

    code = "bad_precondition"
    status = 400

    def __init__(self, header: str, value: str) -> None:
        shown = value if len(value) <= 100 else f"{value[:97]}..."
        super().__init__(
            f"the header {header} is {shown!r}; expected '*', which stores what is new and"
            " replaces nothing"
        )


def is_known(request: Request, etag: str) -> bool:
    """Tell whether the client of a GET has this content already."""
    given = ", ".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or any(tag == etag for _, tag in _TAG.findall(given))


def not_modified(etag: str) -> Response:
    """Return the answer to a client that has the content already."""
    return Response(status_code=304, headers={"ETag": etag, **REVALIDATED})


def creates_only(request: Request) -> bool:
    """Tell whether a PUT may store only what is not there.

    :raises PreconditionError: If-None-Match says something else than ``*``
    """
    given = request.headers.getlist("if-none-match")
    if not given:
        return False
    if [value.strip() for value in given] != ["*"]:
        raise PreconditionError("If-None-Match", ", ".join(given))
    return True


def wanted(request: Request) -> Sequence[str]:
    """Return the contents that a client is willing to change, ``*`` for any; empty for no word.

    What is no entity tag stays as it is, because it is none of them.
    """
    given = request.headers.getlist("if-match")
    if not given:
        return ()
    text = ", ".join(given).strip()
    # Weak tags may not be compared here, so they are none of them either.
    strong = [tag for weak, tag in _TAG.findall(text) if not weak]
    return ("*",) if text == "*" else strong[:MAX_TAGS] or (text,)
