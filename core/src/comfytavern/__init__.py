"""Nodes, packs and the workflow engine of ComfyTavern."""

from __future__ import annotations
