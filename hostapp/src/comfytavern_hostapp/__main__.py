"""The ``comfytavern`` command."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Before anything imports pydantic: at its first class it looks for plugins of its own, and
    # then one damaged entry_points.txt anywhere in the environment would end every command.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # A name that the terminal cannot spell must not end a run.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    from .cli import cli  # after the variable is set

    cli.main(prog_name="comfytavern")


if __name__ == "__main__":
    main()
