"""The examples that come with the host: for ``comfytavern demo`` and for a first start."""

from __future__ import annotations

from pathlib import Path

from .workflow_files import FileError

__all__ = ("CHAT", "HELLO", "example_folder")

CHAT = "tavern-chat.json"
HELLO = "hello.json"


def example_folder() -> Path:
    """Return where the examples are: inside the wheel, else in the checkout.

    :raises FileError: they are nowhere
    """
    package = Path(__file__).resolve().parent.parent
    # hostapp/src/comfytavern_hostapp -> the checkout's examples
    for folder in (package / "demo", package.parents[2] / "examples"):
        if (folder / CHAT).is_file():
            return folder
    raise FileError("example workflow", CHAT, "is not part of this installation")
