"""What stands in answers that are lists: models, and vectors of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ("models_in", "vectors_in")


def models_in(answer: Mapping[str, object]) -> list[str] | None:
    """Return the names in a list of models; None if it is none."""
    entries = _entries(answer)
    if entries is None:
        return None
    names = [entry.get("id") for entry in entries]
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def vectors_in(answer: Mapping[str, object], count: int) -> list[list[float]] | None:
    """Return ``count`` vectors in the order of their texts; None if it is not those."""
    entries = _entries(answer)
    if entries is None or len(entries) != count:
        return None
    vectors: dict[int, list[float]] = {}
    for number, entry in enumerate(entries):
        index, vector = entry.get("index", number), entry.get("embedding")
        if not isinstance(index, int) or not isinstance(vector, list) or not vector:
            return None
        if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in vector):
            return None
        try:
            vectors[index] = [float(x) for x in vector]
        except OverflowError:
            return None
    return [vectors[index] for index in range(count)] if set(vectors) == set(range(count)) else None


def _entries(answer: Mapping[str, object]) -> list[Mapping[str, object]] | None:
    data = answer.get("data")
    if not isinstance(data, Sequence) or isinstance(data, str):
        return None
    return [entry for entry in data if isinstance(entry, Mapping)]
