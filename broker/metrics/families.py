"""Metric families in the making: one for each name, samples added in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

TOTAL: Final = "_total"
# Samples rendered, or partitions looked at, before others are served: a few milliseconds.
AT_ONCE: Final = 500
Labels = Mapping[str, str]


class Families:
    """Filled by the modules of broker.metrics, for one cluster after the other."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def gauge(self, name: str, text: str, labels: Labels, value: float) -> None:
        self._family(name, text, "gauge").add_sample(name, dict(labels), value)

    def counter(self, name: str, text: str, labels: Labels, value: float) -> None:
        """name: ends in `_total`."""
        self._family(name.removesuffix(TOTAL), text, "counter").add_sample(name, dict(labels), value)

    def extend(self, metrics: Iterable[Metric]) -> None:
        """Families that somebody else has made."""
        for metric in metrics:
            self._families[metric.name] = metric

    def _family(self, name: str, text: str, kind: str) -> Metric:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Metric(name, text, kind)
        return family

    def all(self) -> list[Metric]:
        return list(self._families.values())


class _One(Collector):
    """prometheus-client renders what a registry collects: here a single family."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return [self._metric]


def rendered(metric: Metric) -> Iterator[bytes]:
    """One family in the text format, some hundred samples at a time."""
    for start in range(0, len(metric.samples), AT_ONCE):
        piece = Metric(metric.name, metric.documentation, metric.type)
        piece.samples = metric.samples[start : start + AT_ONCE]
        text: bytes = generate_latest(_One(piece))
        yield text.split(b"\n", 2)[2] if start else text  # HELP and TYPE are told once
