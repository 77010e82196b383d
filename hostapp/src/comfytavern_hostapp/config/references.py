"""References to secrets, which stand in the configuration in place of the secrets."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from .problems import SecretUnresolvedError

SHOWN_SECRET = "<secret>"
MAX_SECRET_BYTES = 64 * 1024

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BREAKS = re.compile(r"[\r\n\0]")


class Secret:
    """A secret's value. Only :meth:`reveal` tells it; text, repr and pickle do not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that sends it."""
        return self._value

    def matches(self, candidate: str) -> bool:
        """Compare in a time that does not depend on where the two differ."""
        return hmac.compare_digest(self._value.encode(), candidate.encode(errors="replace"))

    def __repr__(self) -> str:
        return SHOWN_SECRET

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied; hand on its reference")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is: a variable of the environment, or a file."""

    kind: Literal["env", "file"]
    name: str

    @classmethod
    def parse(cls, text: str) -> SecretReference | None:
        """Read ``env:NAME`` or ``file:PATH``; None if the text is neither."""
        kind, colon, name = text.partition(":")
        if not colon or not name.strip() or _BREAKS.search(text):
            return None
        if kind == "env" and _VARIABLE.fullmatch(name):
            return cls("env", name)
        return cls("file", name) if kind == "file" else None

    def resolve(self, environment: Mapping[str, str] | None = None) -> Secret:
        """Fetch the secret now; nothing is kept, so a changed file counts at once.

        Reads a file when it is one: call it from a thread if a loop is running.

        :raises SecretUnresolvedError: there is none, it is empty, or it is no single line
        """
        if self.kind == "env":
            value = (os.environ if environment is None else environment).get(self.name)
            if value is None:
                raise SecretUnresolvedError(str(self), "the variable is not set")
        else:
            value = self._read()
        if not value:
            raise SecretUnresolvedError(str(self), f"the {self._noun} is empty")
        if _BREAKS.search(value):
            # It would end up in a header, where a line break starts another header.
            raise SecretUnresolvedError(str(self), f"the {self._noun} holds more than one line")
        return Secret(value)

    @property
    def _noun(self) -> str:
        return "variable" if self.kind == "env" else "file"

    def _read(self) -> str:
        try:
            with Path(self.name).expanduser().open("rb") as file:
                data = file.read(MAX_SECRET_BYTES + 1)
        except (OSError, ValueError, RuntimeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else None
            raise SecretUnresolvedError(str(self), (reason or str(exc)).lower()) from exc
        if len(data) > MAX_SECRET_BYTES:
            raise SecretUnresolvedError(
                str(self), f"the file is larger than {MAX_SECRET_BYTES} bytes"
            )
        try:
            return data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            # The cause would show the bytes of the secret.
            raise SecretUnresolvedError(str(self), "the file is not UTF-8") from None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"
