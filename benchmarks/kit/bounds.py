"""What the figures should show: each ratio, the bound it should keep, and whether it does. A report, no test.

Ratios are taken round by round, as both sides of a round met the same machine, and the median of those is judged.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, TypeAlias

from kit.harness import values
from kit.tables import short, table

Rows: TypeAlias = "Mapping[str, Mapping[str, Any]]"
_VENDORS = ("snowplow", "mixpanel", "segment", "rudder", "amplitude", "posthog")
_CLEARLY = 1.05


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One demand and its figure; `None` where the run has none."""

    what: str
    side: Literal["at most", "at least"]
    bound: float
    figures: tuple[float, ...] | None

    @property
    def figure(self) -> float | None:
        """The median."""
        return statistics.median(self.figures) if self.figures else None

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.figure is None:
            return "no figure"
        kept = self.figure <= self.bound if self.side == "at most" else self.figure >= self.bound
        return "ok" if kept else "NOT OK"


def section(bounds: Iterable[Bound]) -> str:
    """Return the part of a page that says what holds."""
    lines = [
        [
            bound.what,
            "-" if bound.figure is None else short(bound.figure),
            "-" if not bound.figures else f"{short(min(bound.figures))} to {short(max(bound.figures))}",
            f"{bound.side} {bound.bound:g}",
            bound.verdict,
        ]
        for bound in bounds
    ]
    return "## What it should show\n\n" + table(["what", "figure", "rounds", "should be", "verdict"], lines)


def of_compare(figures: Mapping[str, Rows]) -> Iterator[Bound]:
    """Judge the side-by-side runs."""
    for other, limit, words in (
        ("aiohttp", 0.25, "aiohttp gather with orjson"),
        ("httpx", 0.02, "plain httpx gather, 64 in flight"),
        ("bare", 2.0, "the bare client posting the same events"),
    ):
        yield _most(f"(b): CPU, our producer / {words}", limit, _ratio(figures, "b", "ours", other))
    yield _least("(a): events per CPU second, our producer / bare client", 0.8, _ratio(figures, "a", "bare", "ours"))
    yield _least("(a): the same / the best other vendor's package", 5.0, _against_best(figures))
    # A task for every event has its row, and no bound: a task of asyncio costs twice what an event does.
    awaited = _ratio(figures, "a", "ours-receipts", "ours")
    yield _most("(a): CPU, every receipt awaited / no receipt looked at", 1.3, awaited)
    for load in "ace":
        yield _most(f"({load}): requests / the fewest possible", 1.1, _requests(figures.get(load, {})))
    for what, words in (("wall", "second"), ("cpu", "CPU second")):
        pace = _ratio(figures, "many", "aiohttp", "ours", what=what)
        yield _least(f"1,024 in flight, 10 ms: requests per {words}, ours / aiohttp", 4.0, pace)
    for base, other in (("b", "b-tls"), ("b", "b-uvloop"), ("a", "a-uvloop")):
        swapped = _swapped(figures, base, other)
        named = "".join(f"; {ours} and {theirs}" for ours, theirs in swapped or ())
        count = None if swapped is None else (float(len(swapped)),)
        yield _most(f"places that one of ours changed with another client from ({base}) to ({other}){named}", 0, count)


def of_growth(figures: Mapping[str, Any]) -> Iterator[Bound]:
    """Judge the growth runs: every point against the smallest."""
    for part, words in (
        ("users", "users"),
        ("connections", "connections, all busy"),
        ("idle", "connections, all but 8 idle"),
        ("pending", "pending events"),
    ):
        yield _most(f"CPU per event, the most {words} / the fewest", 1.25, growth(figures.get(part, {})))
    for sample in figures.get("memory", {}).values():
        if "failed" not in sample:
            allowed = 1.5 * sample["event_bytes"] + 250
            what = f"memory per pending event, {sample['pending']:,} of {sample['users']:,} users, bytes"
            yield _most(what, round(allowed), (sample["traced"] / sample["pending"],))


def of_idle(figures: Rows) -> Iterator[Bound]:
    """Judge the latency of single events."""
    for name, row in figures.items():
        if name.startswith("ours ") and "samples" in row:
            yield _most(f"{name}: from the call to the bytes at the far end, median, µs", 300, tuple(_medians(row)))


def growth(points: Rows) -> tuple[float, ...] | None:
    """Return the cost of the dearest point after the first, in costs of the first, for each round."""
    taken = [values(row["samples"], "cpu", "events") for row in points.values() if "samples" in row]
    if len(taken) < 2:
        return None
    first, *rest = taken
    dearest = max(rest, key=statistics.median)
    return tuple(late / early for early, late in zip(first, dearest, strict=True))


def _medians(row: Mapping[str, Any]) -> list[float]:
    return [sample["p50"] for sample in row["samples"]]


def _most(what: str, bound: float, figures: tuple[float, ...] | None) -> Bound:
    return Bound(what=what, side="at most", bound=bound, figures=figures)


def _least(what: str, bound: float, figures: tuple[float, ...] | None) -> Bound:
    return Bound(what=what, side="at least", bound=bound, figures=figures)


def _ratio(
    figures: Mapping[str, Rows], table_name: str, above: str, below: str, what: str = "cpu"
) -> tuple[float, ...] | None:
    rows = figures.get(table_name, {})
    if not all(rows.get(name, {}).get("samples") for name in (above, below)):
        return None
    tops, bottoms = (values(rows[name]["samples"], what, "events") for name in (above, below))
    return tuple(top / bottom for top, bottom in zip(tops, bottoms, strict=True))


def _against_best(figures: Mapping[str, Rows]) -> tuple[float, ...] | None:
    all_ratios = [ratios for name in _VENDORS if (ratios := _ratio(figures, "a", name, "ours"))]
    return min(all_ratios, key=statistics.median, default=None)


def _requests(rows: Rows) -> tuple[float, ...] | None:
    samples = rows.get("ours", {}).get("samples")
    return tuple(values(samples, "seen.requests", "minimum")) if samples else None


def _swapped(figures: Mapping[str, Rows], base: str, other: str) -> list[tuple[str, str]] | None:
    """Return the pairs of ours and another that stand the other way round, clearly so in both tables."""
    first, second = figures.get(base, {}), figures.get(other, {})
    shared = [name for name in first if all("samples" in rows.get(name, {}) for rows in (first, second))]
    if not shared:
        return None
    ours, others = ([name for name in shared if name.startswith("ours") is mine] for mine in (True, False))
    return [pair for pair in product(ours, others) if _order(first, pair) * _order(second, pair) < 0]


def _order(rows: Rows, pair: tuple[str, str]) -> int:
    """Say who is cheaper: -1 the left one, 1 the right one, 0 where rounds overlap or hardly differ."""
    left, right = (values(rows[name]["samples"], "cpu", "events") for name in pair)
    return -1 if _CLEARLY * max(left) < min(right) else int(min(left) > _CLEARLY * max(right))
