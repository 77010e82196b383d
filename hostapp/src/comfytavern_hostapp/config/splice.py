"""The lists of ``packs`` as stretches of the file's text, cut and filled in place."""

from __future__ import annotations

import json
import re

import yaml

from .syntax import compose

_BARE = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)\Z)[a-z][a-z0-9-]*")
_DASH = re.compile(r" *- +")

_Entry = tuple[yaml.Node, yaml.Node]


class PacksText:
    """The text of a configuration whose ``packs`` lists can be changed.

    It handles the forms in which people write such lists. What it makes of anything
    else may mean something else: the caller reads the result back.

    Methods raise ConfigError or ValueError for a form that cannot be changed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def remove(self, key: str, index: int) -> None:
        """Cut the item out, with the comment on its own line."""
        entry = self._entry("packs", key)
        if entry is None or not isinstance(entry[1], yaml.SequenceNode):
            raise ValueError(key)
        items = entry[1].value
        if entry[1].flow_style:
            self._cut_from_flow(items, index)
            return
        start, end = self._line_of(items[index])
        if not _DASH.fullmatch(self.text[start : items[index].start_mark.index]):
            raise ValueError(key)
        self._splice(start, end, "")
        if len(items) == 1:  # a key without items would hold null
            colon = self.text.index(":", entry[0].end_mark.index)
            self._splice(colon + 1, colon + 1, " []")

    def _cut_from_flow(self, items: list[yaml.Node], index: int) -> None:
        start, end = items[index].start_mark.index, items[index].end_mark.index
        if index + 1 < len(items):
            end = items[index + 1].start_mark.index
        elif index:
            before = items[index - 1].end_mark.index
            # A comment between the two belongs to the one before and stays.
            start = before if self.text[before:start].strip() == "," else start
        else:
            comma = re.match(r"\s*,", self.text[end:])
            end += comma.end() if comma else 0
        self._splice(start, end, "")

    def append(self, key: str, name: str) -> None:
        """Add the name at the end of the list, which is made if it does not exist."""
        item = name if _BARE.fullmatch(name) else json.dumps(name)
        entry = self._entry("packs", key)
        if entry is None:
            self._add_key(key, f"[{item}]")
        elif not isinstance(entry[1], yaml.SequenceNode):
            self._fill(entry[1], f"[{item}]")
        elif entry[1].flow_style:
            self._add_to_flow(entry[1], entry[1].value, item)
        else:
            last = entry[1].value[-1]
            prefix = self.text[self._line_of(last)[0] : last.start_mark.index]
            if not _DASH.fullmatch(prefix):
                raise ValueError(key)
            self._insert_line(last.end_mark.index, prefix + item)

    def _add_key(self, key: str, value: str) -> None:
        root = compose(self.text, "")
        entry = self._entry("packs")
        if entry is not None:
            self._add_entry(entry[1], key, f"{key}: {value}")
        elif isinstance(root, yaml.MappingNode) and root.flow_style:
            self._add_to_flow(root, _values(root), f"packs: {{{key}: {value}}}")
        else:
            pad = " " * root.value[0][0].start_mark.column if root and root.value else ""
            if self.text and not self.text.endswith("\n"):
                self.text += self._newline
            self.text += f"{pad}packs:{self._newline}{pad}  {key}: {value}{self._newline}"

    def _add_entry(self, packs: yaml.Node, key: str, text: str) -> None:
        if not isinstance(packs, yaml.MappingNode):
            self._fill(packs, f"{{{text}}}")
        elif packs.flow_style:
            self._add_to_flow(packs, _values(packs), text)
        else:
            # Beside the other list if it is there: 'settings' can be long.
            beside = self._entry("packs", "enabled") or packs.value[-1]
            pad = " " * beside[0].start_mark.column
            self._insert_line(_end(beside[1], self.text), pad + text)

    def _add_to_flow(self, node: yaml.Node, parts: list[yaml.Node], text: str) -> None:
        if parts:
            end = parts[-1].end_mark.index
            self._splice(end, end, f", {text}")
        else:
            opening = self.text.index(
                "[" if isinstance(node, yaml.SequenceNode) else "{", node.start_mark.index
            )
            self._splice(opening + 1, opening + 1, text)

    def _fill(self, node: yaml.Node, text: str) -> None:
        """Write a value in place of null, or of nothing."""
        start, end = node.start_mark.index, node.end_mark.index
        self._splice(start, end, text if end > start else f" {text}")

    def _entry(self, *keys: str) -> _Entry | None:
        node, entry = compose(self.text, ""), None
        for key in keys:
            pairs: list[_Entry] = node.value if isinstance(node, yaml.MappingNode) else []
            entry = next((pair for pair in pairs if pair[0].value == key), None)
            if entry is None:
                return None
            node = entry[1]
        return entry

    def _line_of(self, node: yaml.Node) -> tuple[int, int]:
        start = self.text.rfind("\n", 0, node.start_mark.index) + 1
        return start, self._line_end(node.end_mark.index)

    def _line_end(self, index: int) -> int:
        """Return where the line after the one of ``index`` begins."""
        return self.text.find("\n", index) + 1 or len(self.text)

    def _insert_line(self, after: int, line: str) -> None:
        end = self._line_end(after)
        if self.text[:end].endswith("\n"):
            self._splice(end, end, line + self._newline)
        else:
            self._splice(end, end, self._newline + line)

    def _splice(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]


def _values(mapping: yaml.MappingNode) -> list[yaml.Node]:
    return [value for _, value in mapping.value]


def _end(node: yaml.Node, text: str) -> int:
    """Return where the last character of a value stands; block nodes end beyond it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last, text)
    return len(text[: node.end_mark.index].rstrip())
