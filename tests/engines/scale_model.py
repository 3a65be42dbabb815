"""The model of docs/scale.md: how many requests a job needs, and what bounds its pace. Tests hold it to runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

PER_REQUEST = 100
"""Events in one request at the most (API guide, "Event")."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """CPU seconds of one worker, as benchmarks/engines.py measures them.

    Attributes:
        event: for each event.
        request: for each request.
    """

    event: float = 23e-6
    request: float = 50e-6


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a job runs on.

    Attributes:
        workers: how many partitions are sent at a time, a core each.
        quota: calls a minute.
        used: the part of the quota that is used in the mean.
        round_trip: seconds from a request to its answer.
        in_flight: requests of one worker in the air at the most.
        failures: the part of all requests that has to be repeated.
    """

    workers: int = 1
    quota: int = 1_000_000
    used: float = 0.98
    round_trip: float = 0.05
    in_flight: int = 64
    failures: float = 0.0


def requests(events_of_users: Iterable[int], failures: float = 0.0) -> float:
    """Requests for a job whose users' events are co-located: one user in each, full ones where a user has as many."""
    return sum(math.ceil(count / PER_REQUEST) for count in events_of_users) / (1 - failures)


def paces(packing: float, site: Site, costs: Costs | None = None) -> dict[str, float]:
    """Events a second that each bound allows; the job goes at the least of them.

    Args:
        packing: events in a request in the mean.
        site: what it runs on.
        costs: of a worker.
    """
    costs = costs or Costs()
    useful = 1 - site.failures
    return {
        "quota": site.quota / 60 * site.used * packing * useful,
        "connections": site.workers * site.in_flight / site.round_trip * packing * useful,
        "processors": site.workers / (costs.event + costs.request / packing / useful),
    }


def longest(events_of_one_user: int, round_trip: float) -> float:
    """Seconds that the user with most events takes, whose requests go one after the other."""
    return math.ceil(events_of_one_user / PER_REQUEST) * round_trip


def page_rows(packings: Iterable[int] = (1, 3, 10, 30, 100)) -> list[str]:
    """The rows of the table in docs/scale.md: the full quota, 50 ms, 64 connections a worker."""
    lines = []
    for packing in packings:
        pace = paces(packing, Site())["quota"]
        workers = math.ceil(pace / paces(packing, Site())["connections"])
        cores = pace / paces(packing, Site())["processors"]
        hours = 1e9 / pace / 3600
        processor_hours = 1e9 / paces(packing, Site())["processors"] / 3600
        lines.append(
            f"| {packing} | {pace:,.0f} | {pace * 86_400 / 1e9:,.1f} billion | {workers} | {cores:.1f} "
            f"| {hours:.1f} h | {processor_hours:.1f} h |"
        )
    return lines
