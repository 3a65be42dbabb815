"""The same events by everybody, side by side: CPU and wall time of the client, everything verified at the far end.

    python benchmarks/compare.py                      all tables; about an hour
    python benchmarks/compare.py --quick --only a,b   two of them, a tenth of the load

Each measurement runs in a fresh process on one core, the sink on another. Only the sending is measured: imports, the
load and the connections' first requests come before. Clients take turns; a table shows medians and the whole range.
Set DFINERY_CDNOW to the full file of CDNOW purchases for load (c).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contenders import CONTENDERS
from kit import bounds, plots
from kit.far_end import FarEnd
from kit.harness import median, take_rounds, values
from kit.results import Page, options, parts
from kit.scenarios import SCENARIOS
from kit.tables import deliveries

PACKAGES = (
    "dfinery-async",
    "httpx",
    "aiohttp",
    "orjson",
    "msgspec",
    "httptools",
    "uvloop",
    "snowplow-tracker",
    "mixpanel",
    "segment-analytics-python",
    "rudder-sdk-python",
    "amplitude-analytics",
    "posthog",
)
LABELS = {name: contender.label for name, contender in CONTENDERS.items()}
ROUNDS, QUICK_ROUNDS = 5, 3
NOTES = """\
The client has one core, the far end another; where the far end was busy all the time, wall time is its and not the
client's. Who sends one request an event, or batches across users, gets fewer events: the cost of an event is the same.
"""


def plot(page: Page, name: str, title: str, rows: Mapping[str, Any]) -> None:
    """Draw a table's CPU time, and show it on the page."""
    bars = []
    for key, row in rows.items():
        if "samples" in row:
            cpu = [1e6 * value for value in values(row["samples"], "cpu", "events")]
            middle = 1e6 * median(row["samples"], "cpu", "events")
            bars.append(
                plots.Bar(label=LABELS[key], kind=CONTENDERS[key].kind, value=middle, low=min(cpu), high=max(cpu))
            )
    if bars:
        paths = plots.bars(
            lambda ending: page.path(f"-{name}{ending}"),
            title,
            "client CPU, µs per event (log scale; less is better)",
            bars,
        )
        page.add(plots.shown(paths, f"{title}, client CPU per event"))


def main() -> None:
    parser = options(__doc__ or "")
    chosen = parser.parse_args()
    names = parts(parser, chosen, SCENARIOS)
    rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else ROUNDS)
    page = Page("compare", "The same events by everybody", chosen, PACKAGES)
    page.add(f"{rounds} rounds in turns: the median, and all of them within “lowest to highest”.\n{NOTES}")
    figures: dict[str, Any] = {}
    with FarEnd() as far_end:
        for name in names:
            scenario = SCENARIOS[name]
            specs = dict(scenario.specs(quick=chosen.quick))
            rows = take_rounds(far_end, "kit.delivery", specs, rounds)
            figures[name] = rows
            about = f"{'a tenth of ' if chosen.quick else ''}{scenario.about}"
            page.add(f"## {scenario.title}\n\n{scenario.in_flight:,} requests in flight; {about}.\n")
            page.add(deliveries(rows, LABELS))
            if chosen.write and scenario.plot and plots.available():
                plot(page, name, f"{scenario.title}: {about}", rows)
    page.add(bounds.section(bounds.of_compare(figures)))
    if chosen.write:
        page.keep(figures)


if __name__ == "__main__":
    main()
