"""Take the examples that come with the host from those of the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = ("tavern-chat.json", "hello.json", "characters/hesper.png")


class DemoFiles(BuildHookInterface[Any]):  # Any: no builder configuration of our own
    """Adds them to the sdist and to a wheel of the checkout; a wheel of the sdist has them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # Any: hatchling's
        """Name the files and where they go."""
        examples = Path(self.root).parent / "examples"
        package = "comfytavern_hostapp/demo"
        if self.target_name == "sdist":
            package = f"src/{package}"
        if examples.is_dir():
            for name in FILES:
                build_data["force_include"][str(examples / name)] = f"{package}/{name}"
