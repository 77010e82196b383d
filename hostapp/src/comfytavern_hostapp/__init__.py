"""The ComfyTavern host: command line and server."""

from __future__ import annotations
