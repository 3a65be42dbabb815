"""What an event costs as users, connections and pending events grow: time and memory per event should stay flat.

    python benchmarks/growth.py                        all parts
    python benchmarks/growth.py --quick --only users   one of users, connections, pending, memory; small

Only one thing grows at a time. For users and connections every request carries one event (`max_batch_bytes=1`), as more
users would otherwise mean more requests; pending events are of 10 users, whose requests are always full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit import bounds, plots
from kit.far_end import FarEnd, ask
from kit.harness import median, run_once, take_rounds, values
from kit.results import Page, options, parts
from kit.tables import short, spread, table

FEW = 8
EVENTS, MOST = 200_000, 1_000_000
ROUNDS = 3
ROOM = {"max_pending_bytes": 10**11}
PARTS = ("users", "connections", "pending", "memory")
Points = dict[str, dict[str, Any]]


def users(scale: int) -> Points:
    """From ten users to a million."""
    points = {}
    for count in (10, 100, 1_000, 10_000, 100_000, 1_000_000):
        if count <= MOST // scale:
            events = max(EVENTS // scale, count)
            producer = {**ROOM, "max_batch_bytes": 1, "max_pending_events": MOST}
            points[f"{count}"] = {"users": count, "events": events, "in_flight": FEW, "producer": producer}
    return points


def connections(scale: int, *, idle: bool) -> Points:
    """From 8 connections to 1,024: all busy, or all but eight idle."""
    points = {}
    for count in (8, 16, 64, 256, 1024):
        who = {"contender": "ours-among-idle"} if idle else {}
        in_flight = FEW if idle else count
        spec = {"load": "b", "events": 50_000 // scale, "in_flight": in_flight, "connections": count, **who}
        points[f"{count}"] = spec
    return points


def pending(scale: int) -> Points:
    """From a thousand pending events to a million."""
    points = {}
    for count in (1_000, 10_000, 100_000, 1_000_000):
        if count <= MOST // scale:
            events = max(EVENTS // scale, count)
            producer = {**ROOM, "max_pending_events": count}
            points[f"{count}"] = {"users": 10, "events": events, "in_flight": FEW, "producer": producer}
    return points


def memory(scale: int) -> Points:
    """So many events that wait, of ten users and of as many users as events."""
    points = {}
    for count in (1_000, 10_000, 100_000, 1_000_000):
        if count <= MOST // scale:
            for of in (10, count):
                points[f"{count} of {of}"] = {"pending": count, "users": of, "door": "silent"}
    return points


def cost_table(head: str, rows: Mapping[str, Any]) -> str:
    lines = []
    for name, row in rows.items():
        if "failed" in row:
            lines.append([f"{int(name):,}", f"no figure: {row['failed']}", *["-"] * 4])
            continue
        samples = row["samples"]
        cpu = [1e6 * value for value in values(samples, "cpu", "events")]
        counts = [f"{median(samples, key):,.0f}" for key in ("events", "seen.requests", "seen.connections")]
        lines.append([f"{int(name):,}", *counts, short(1e6 * median(samples, "cpu", "events")), spread(cpu)])
    return table([head, "events", "requests", "connections", "CPU µs per event", "lowest to highest"], lines)


def memory_table(rows: Mapping[str, Any]) -> str:
    lines = []
    for name, row in rows.items():
        if "failed" in row:
            lines.append([name, f"no figure: {row['failed']}", *["-"] * 5])
            continue
        count = row["pending"]
        lines.append(
            [
                f"{count:,}",
                f"{row['users']:,}",
                f"{row['event_bytes']:.0f}",
                f"{row['traced'] / count:,.0f}",
                f"{row['resident'] / count:,.0f}",
                f"{1.5 * row['event_bytes'] + 250:,.0f}",
                short(1e6 * row["cpu"] / count),
            ]
        )
    heads = ["pending", "users", "bytes of an event", "memory of an event, bytes (traced)"]
    return table([*heads, "by resident memory", "should be at most", "CPU µs to track it"], lines)


def line(label: str, kind: str, rows: Mapping[str, Any], *, dashed: bool = False) -> plots.Line:
    points = [
        (float(name), 1e6 * median(row["samples"], "cpu", "events")) for name, row in rows.items() if "samples" in row
    ]
    return plots.Line(label=label, kind=kind, points=points, dashed=dashed)


def draw(page: Page, name: str, x: str, *rows: plots.Line) -> None:
    if plots.available() and all(row.points for row in rows):
        title = f"Cost of an event: {x}"
        paths = plots.lines(lambda ending: page.path(f"-{name}{ending}"), title, x, "client CPU, µs per event", rows)
        page.add(plots.shown(paths, title))


def take_memory(far_end: FarEnd, points: Points) -> dict[str, Any]:
    """Measure memory twice, each time in a fresh process: what Python traced, and what the system gave."""
    rows = {}
    for name, spec in points.items():
        target = {"url": far_end.url(spec["door"]), "desk": far_end.desk()}
        ask(far_end.desk(), "/reset")
        plain = run_once("kit.pending", {**spec, **target, "trace": False})
        ask(far_end.desk(), "/reset")
        traced = run_once("kit.pending", {**spec, **target, "trace": True})
        failed = next((sample for sample in (plain, traced) if "failed" in sample), None)
        rows[name] = failed or {**plain, "traced": traced["traced"]}
    return rows


def main() -> None:
    parser = options(__doc__ or "")
    chosen = parser.parse_args()
    wanted = parts(parser, chosen, PARTS)
    rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    scale = 100 if chosen.quick else 1
    page = Page("growth", "What an event costs as things grow", chosen, ("dfinery-async", "msgspec", "httptools"))
    page.add(f"{rounds} rounds in turns; medians. Our producer, one core; no delay at the far end.\n")
    figures: dict[str, Any] = {}

    with FarEnd() as far_end:

        def take(name: str, points: Points) -> dict[str, Any]:
            specs = {key: {"contender": "ours", "door": "plain", **spec} for key, spec in points.items()}
            rows = take_rounds(far_end, "kit.delivery", specs, rounds)
            figures[name] = rows
            return rows

        if "users" in wanted:
            rows = take("users", users(scale))
            page.add(f"## Users\n\nOne event a request, {FEW} requests in flight.\n\n{cost_table('users', rows)}")
            if chosen.write:
                draw(page, "users", "users", line("one event a request, 8 in flight", "ours", rows))
        if "connections" in wanted:
            busy = take("connections", connections(max(scale // 10, 1), idle=False))
            idle = take("idle", connections(max(scale // 10, 1), idle=True))
            page.add(f"## Connections\n\nAll busy:\n\n{cost_table('connections', busy)}")
            page.add(f"{FEW} busy, the others open and idle:\n\n{cost_table('connections', idle)}")
            if chosen.write:
                both = line("all busy", "ours", busy), line("8 busy, the others idle", "vendor", idle, dashed=True)
                draw(page, "connections", "open connections", *both)
        if "pending" in wanted:
            rows = take("pending", pending(scale))
            page.add(f"## Pending events\n\nOf ten users, in full requests.\n\n{cost_table('most pending', rows)}")
            if chosen.write:
                draw(page, "pending", "pending events at the most", line("10 users, full requests", "ours", rows))
        if "memory" in wanted:
            figures["memory"] = take_memory(far_end, memory(scale))
            page.add(f"## Memory of what waits\n\nThe far end never answers.\n\n{memory_table(figures['memory'])}")
    page.add(bounds.section(bounds.of_growth(figures)))
    if chosen.write:
        page.keep(figures)


if __name__ == "__main__":
    main()
