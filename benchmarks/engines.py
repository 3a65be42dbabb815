"""What the way through an engine costs over `client.load`: CPU time per event, the same rows for all.

    python benchmarks/engines.py            all ways whose packages are installed
    python benchmarks/engines.py --quick    a tenth of the events

Each way is a fresh process with the sink as its far end, in turns. Starting Spark or Ray, their shuffles and their
transport between processes are not in it: it is what a task does with its rows. dlt runs whole.
"""

from __future__ import annotations

from typing import Any

from kit.engine_paths import WAYS
from kit.far_end import FarEnd
from kit.harness import median, take_rounds, values
from kit.results import Page, options
from kit.tables import spread, table

USERS, EVENTS, ROUNDS = 1_000, 50_000, 5
BASE = "client.load"


def main() -> None:
    chosen = options(__doc__ or "").parse_args()
    scale = 10 if chosen.quick else 1
    page = Page(
        "engines", "The way through an engine", chosen, ("dfinery-async", "pyspark", "ray", "dlt", "faststream")
    )
    specs = {name: {"way": name, "users": USERS // scale, "events": EVENTS // scale, "door": "plain"} for name in WAYS}
    with FarEnd() as far_end:
        results = take_rounds(far_end, "kit.engine_paths", specs, chosen.rounds or ROUNDS)
    page.add(f"{EVENTS // scale:,} events of {USERS // scale:,} users, sorted by user and time.\n")
    page.add(table(["way", "CPU per event, µs", "all rounds", "over client.load", "requests"], _lines(results)))
    if chosen.write:
        page.keep(results)


def _lines(results: dict[str, Any]) -> list[list[str]]:
    lines = []
    base = results[BASE]
    for name, result in results.items():
        if "failed" in result:
            lines.append([name, f"no figure: {result['failed']}", "", "", ""])
            continue
        samples = result["samples"]
        each = [1e6 * value for value in values(samples, "cpu", "events")]
        over = ""
        if name != BASE and "samples" in base:
            pairs = zip(each, [1e6 * value for value in values(base["samples"], "cpu", "events")], strict=True)
            differences = sorted(mine - theirs for mine, theirs in pairs)
            over = f"{differences[len(differences) // 2]:+.1f} µs"
        requests = f"{median(samples, 'seen.requests'):,.0f}"
        lines.append([name, f"{1e6 * median(samples, 'cpu', 'events'):.1f}", spread(each), over, requests])
    return lines


if __name__ == "__main__":
    main()
