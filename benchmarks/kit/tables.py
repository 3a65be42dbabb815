"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kit.harness import median, values


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its first column holds words, the others figures."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def short(value: float) -> str:
    """Write a figure with three digits or so."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(figures: Iterable[float]) -> str:
    """Write the range of some figures."""
    ordered = sorted(figures)
    return f"{short(ordered[0])} to {short(ordered[-1])}"


def deliveries(rows: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    """Return the table of one scenario."""
    heads = [
        "client",
        "events",
        "requests",
        "CPU ms per 1,000 events",
        "lowest to highest",
        "CPU ms per 1,000 requests",
        "wall ms per 1,000 events",
        "events per CPU second",
        "far end busy",
    ]
    lines = []
    for name, row in rows.items():
        if "failed" in row:
            lines.append([labels[name], f"no figure: {row['failed']}", *["-"] * (len(heads) - 2)])
            continue
        samples = row["samples"]
        cpu = [1e6 * value for value in values(samples, "cpu", "events")]
        lines.append(
            [
                labels[name],
                f"{median(samples, 'events'):,.0f}",
                f"{median(samples, 'seen.requests'):,.0f}",
                short(1e6 * median(samples, "cpu", "events")),
                spread(cpu),
                short(1e6 * median(samples, "cpu", "seen.requests")),
                short(1e6 * median(samples, "wall", "events")),
                f"{1 / median(samples, 'cpu', 'events'):,.0f}",
                f"{median(samples, 'seen.cpu', 'wall'):.0%}",
            ]
        )
    return table(heads, lines)
