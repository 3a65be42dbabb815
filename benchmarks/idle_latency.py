"""How long a single event takes through an idle client: from the call to its bytes at the far end.

    python benchmarks/idle_latency.py           1,000 events a round, each after a gap of 4 ms
    python benchmarks/idle_latency.py --quick   100

The far end's waking up is part of every figure; the bare client's row shows how much that is.
"""

from __future__ import annotations

from typing import Any

from contenders import CONTENDERS
from kit import bounds
from kit.far_end import FarEnd
from kit.harness import median, take_rounds, values
from kit.results import Page, options, parts
from kit.tables import short, spread, table

ROUNDS = 5
IN_FLIGHT = {"bare": 1}  # it posts on all its connections at once
NAMES = ("bare", "ours", "ours-send-one", "aiohttp", "httpx")


def main() -> None:
    parser = options(__doc__ or "")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else ROUNDS)
    names = parts(parser, chosen, NAMES)
    specs: dict[str, dict[str, Any]] = {
        f"{name} on {loop}": {
            "contender": name,
            "events": 100 if chosen.quick else 1000,
            "in_flight": IN_FLIGHT.get(name, 8),
            "loop": loop,
            "door": "plain",
        }
        for loop in ("asyncio", "uvloop")
        for name in names
    }
    page = Page("idle_latency", "A single event through an idle client", chosen, ("dfinery-async", "uvloop", "aiohttp"))
    page.add(f"From the call to the bytes at the far end. {rounds} rounds in turns; medians over the rounds.\n")
    with FarEnd() as far_end:
        figures = take_rounds(far_end, "kit.single", specs, rounds)
    lines = []
    for name, row in figures.items():
        label = f"{CONTENDERS[specs[name]['contender']].label}, {specs[name]['loop']}"
        if "failed" in row:
            lines.append([label, f"no figure: {row['failed']}", *["-"] * 3])
            continue
        samples = row["samples"]
        cells = [[short(median(samples, key)), spread(values(samples, key))] for key in ("p50", "p99")]
        lines.append([label, *cells[0], *cells[1]])
    page.add(table(["client", "median, µs", "lowest to highest", "99 %, µs", "lowest to highest"], lines))
    page.add(bounds.section(bounds.of_idle(figures)))
    if chosen.write:
        page.keep(figures)


if __name__ == "__main__":
    main()
