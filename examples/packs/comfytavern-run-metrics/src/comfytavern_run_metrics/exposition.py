"""Counters, gauges and histograms, and the text in which Prometheus reads them (version 0.0.4).

Nothing here knows of workflows. It is small on purpose: a pack asks as little of the environment
as it can. Not safe to share between threads; the pack has one lock around all of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

__all__ = ("Counter", "Gauge", "Histogram", "Labels")

Labels = tuple[str, ...]


class _Metric:
    kind = "untyped"

    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        self.name = name
        self._text = text
        self._labels = labels

    def lines(self) -> Iterator[str]:
        """Yield the lines of this metric."""
        yield f"# HELP {self.name} {self._text}"
        yield f"# TYPE {self.name} {self.kind}"
        yield from self._samples()

    def _samples(self) -> Iterator[str]:
        raise NotImplementedError

    def _sample(self, values: Labels, value: float, suffix: str = "", *more: str) -> str:
        pairs = [f'{name}="{_escaped(v)}"' for name, v in zip(self._labels, values, strict=True)]
        listed = ",".join([*pairs, *more])
        return (
            f"{self.name}{suffix}{{{listed}}} {_number(value)}"
            if listed
            else (f"{self.name}{suffix} {_number(value)}")
        )


class Counter(_Metric):
    """What only rises."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        super().__init__(name, text, labels)
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """Add to the counter of these label values."""
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def _samples(self) -> Iterator[str]:
        for labels, value in sorted(self._values.items()):
            yield self._sample(labels, value)


class Gauge(Counter):
    """What rises and falls."""

    kind = "gauge"


class Histogram(_Metric):
    """How often a value lay in which range.

    :param buckets: the upper ends of the ranges, rising
    """

    kind = "histogram"

    def __init__(self, name: str, text: str, labels: Labels, buckets: Sequence[float]) -> None:
        super().__init__(name, text, labels)
        self._buckets = tuple(buckets)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one value."""
        counts = self._counts.setdefault(labels, [0] * (len(self._buckets) + 1))
        counts[bisect_left(self._buckets, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def _samples(self) -> Iterator[str]:
        for labels, counts in sorted(self._counts.items()):
            so_far = 0
            for end, count in zip(self._buckets, counts, strict=False):
                so_far += count
                yield self._sample(labels, so_far, "_bucket", f'le="{_number(end)}"')
            yield self._sample(labels, sum(counts), "_bucket", 'le="+Inf"')
            yield self._sample(labels, self._sums[labels], "_sum")
            yield self._sample(labels, sum(counts), "_count")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
