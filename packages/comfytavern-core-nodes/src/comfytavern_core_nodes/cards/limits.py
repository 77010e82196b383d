"""How much of a card file is read at most.

A card comes from a stranger. Each limit is far above real cards and keeps the memory and time of
one reading within a small multiple of the file's size.
"""

from __future__ import annotations

MAX_TEXT_BYTES = 32 * 1024 * 1024
"""Card text after inflating: a JSON file, a text chunk, the member of a zip."""

MAX_JSON_MARKS = 2_000_000
"""Commas and opening brackets in JSON text: bounds the number of values before they are built."""

MAX_YAML_BYTES = 1024 * 1024
"""YAML text; its parser is pure Python and slow."""

MAX_YAML_NODES = 50_000
"""YAML values, before and after aliases are expanded."""

MAX_DEPTH = 100
"""Lists and objects inside each other."""

MAX_PNG_CHUNKS = 65_536

MAX_ZIP_DIRECTORY = 4 * 1024 * 1024
"""Bytes of a zip's list of members."""
