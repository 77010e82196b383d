"""Where a configuration may be, for those who only want to know whether there is one.

Apart from ``config``, which loads pydantic and YAML to read it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

__all__ = (
    "CONFIG_VARIABLE",
    "FILE_NAME",
    "PACKS_VARIABLE",
    "may_choose_packs",
    "user_config_path",
)

FILE_NAME = "comfytavern.yaml"
CONFIG_VARIABLE = "COMFYTAVERN_CONFIG"
PACKS_VARIABLE = "COMFYTAVERN_PACKS"
"""Short for COMFYTAVERN_PACKS_ENABLED, and stronger; empty, it loads no pack."""


def user_config_path() -> Path:
    """Return where a user's own configuration is looked for, whether or not it exists."""
    return platformdirs.user_config_path("comfytavern", appauthor=False) / FILE_NAME


def may_choose_packs(environment: Mapping[str, str] | None = None) -> bool:
    """Say whether a file or a variable is there that may enable other packs than the default."""
    environment = os.environ if environment is None else environment
    if any(name == CONFIG_VARIABLE or name.startswith(PACKS_VARIABLE) for name in environment):
        return True
    return any(os.path.exists(path) for path in (FILE_NAME, user_config_path()))
