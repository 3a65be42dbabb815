"""What one seed stands for: everything that chance decides before a simulation begins."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

__all__ = ["FATES", "Plan", "ProducerPlan", "Weather", "make_plan", "make_weather"]

# What may become of a request. "…_after" was processed before; "…_before" was not. `zombie`: we give up waiting, and it
# is processed then.
FATES = (
    "lost_before",
    "lost_after",
    "5xx_before",
    "5xx_after",
    "50000_before",
    "50000_after",
    "unreadable_before",
    "unreadable_after",
    "hang_before",
    "hang_after",
    "zombie",
    "late",
    "throttled",
    "pool",
)
_YEAR = 365 * 86_400.0


@dataclass(slots=True)
class Weather:
    """How the far end behaves for a while."""

    until: float = float("inf")
    steps: list[float] = field(default_factory=list)  # cumulative chances of FATES
    latency: tuple[float, float] = (0.05, 0.05)
    refusal: tuple[int, int] | None = None  # HTTP status and code for all, such as a refused token
    outage: bool = False

    def fate(self, chance: float) -> str:
        return FATES[at] if (at := bisect.bisect_right(self.steps, chance)) < len(self.steps) else "fine"


@dataclass(slots=True)
class ProducerPlan:
    """One producer and its users."""

    options: dict[str, Any]
    units: int
    tasks: int
    users: int
    weights: list[float]  # cumulative
    close_at: float | None  # None: when all is handed over
    close_timeout: float | None
    cancel_close_after: float | None
    close_twice: bool
    cancelled_callers: int
    flushes: int
    nowait: float  # chance that a call is track_nowait
    profile: float
    identify: float
    await_receipts: float
    pause: float  # chance of a pause after a call
    collect: Literal["no", "sync", "async"]


@dataclass(slots=True)
class Plan:
    """One simulation."""

    seed: int
    producers: list[ProducerPlan]
    attempt_timeout: float
    connections: int
    retry: dict[str, Any]
    pacing: dict[str, Any]
    faults: float  # how bad the weather may get
    cap: int  # events that the far end takes in one request; hidden
    cap_changes: bool
    poison: float
    items: bool
    large: bool
    headers: Literal["none", "seconds", "milliseconds", "undated"]
    quota: bool
    quota_changes: bool
    jumps: bool
    new_tokens: bool
    refusals: bool

    @property
    def crowded(self) -> bool:
        """Whether more requests may be under way than there are connections."""
        allowed: list[int] = [part.options.get("max_in_flight", self.connections) for part in self.producers]
        return sum(allowed) > self.connections


def make_plan(seed: int, scale: float = 1.0) -> Plan:
    """Draw a plan. The seed and the scale alone decide it; a scale above 1 makes only those larger that are large."""
    chance = Random(f"plan {seed}")
    bulk = chance.random() < 0.3  # much work in full requests; the others do everything that users may do
    units = int(scale * chance.uniform(2000, 9000) if bulk else min(scale, 1.0) * chance.choice((100, 400, 1000)))
    several = 1 if bulk else chance.choices((1, 2, 3), (80, 15, 5))[0]
    faults = chance.choice((0.0, 0.02, 0.1, 0.15, 0.3, 0.6))
    return Plan(
        seed=seed,
        producers=[_producer(chance, units // several, bulk=bulk) for _ in range(several)],
        attempt_timeout=chance.choice((2.0, 10.0, 60.0)),
        connections=chance.choice((1, 2, 4, 8, 16, 64)),
        retry={"base": chance.choice((0.05, 0.2, 1.0)), "cap": chance.choice((2.0, 10.0, 30.0))},
        pacing={"events": chance.choice((600, 6000, 1_000_000)), "share": chance.choice((1.0, 1.0, 0.5))},
        faults=faults,
        cap=chance.choices((100, 99, 40, 7, 1), (80, 5, 8, 5, 2))[0],
        cap_changes=chance.random() < 0.1,
        poison=chance.choices((0.0, 0.001, 0.01, 0.05), (60, 30, 10, 0) if bulk else (60, 10, 20, 10))[0],
        items=not bulk and chance.random() < 0.2,
        large=not bulk and chance.random() < 0.15,
        headers=chance.choice(("none", "seconds", "milliseconds", "undated")),
        quota=chance.random() < 0.3,
        quota_changes=chance.random() < 0.5,
        jumps=chance.random() < 0.3,
        new_tokens=chance.random() < 0.2,
        refusals=chance.random() < 0.25,
    )


def _producer(chance: Random, units: int, *, bulk: bool) -> ProducerPlan:
    users = chance.choice((1, 3, 10, 30, 100))
    slope = chance.choice((0.0, 0.8, 1.0, 1.5))
    on_full = chance.choices(("wait", "raise", "drop_newest"), (80, 10, 10))[0]
    pending = chance.choices((1, 5, 50, 500, 100_000), (0, 0, 0, 20, 80) if bulk else (5, 10, 20, 35, 30))[0]
    options: dict[str, Any] = {"on_full": on_full, "max_pending_events": pending}
    if chance.random() < 0.3:
        options["linger"] = chance.choice((0.01, 0.5, 5.0))
    if chance.random() < 0.3:
        options["max_in_flight"] = chance.choice((1, 2, 8, 200))
    if not bulk and chance.random() < 0.15:
        options["max_pending_bytes"] = chance.choice((300, 5_000, 100_000))
    if not bulk and chance.random() < 0.15:
        options["max_batch_bytes"] = chance.choice((200, 2_000, 20_000))
    if chance.random() < 0.2:
        options["delivery_timeout"] = chance.choice((1.0, 20.0, 300.0))
    early = chance.random() < 0.2
    return ProducerPlan(
        options=options,
        units=units,
        tasks=chance.choice((1, 1, 2, 5, 20)),
        users=users,
        weights=list(itertools.accumulate((rank + 1) ** -slope for rank in range(users))),
        close_at=chance.uniform(0.0, 30.0) if early else None,
        close_timeout=chance.choice((0.0, 0.3, 5.0, 30.0, 300.0)) if early or chance.random() < 0.1 else None,
        cancel_close_after=chance.uniform(0.0, 3.0) if chance.random() < 0.05 else None,
        close_twice=chance.random() < 0.1,
        cancelled_callers=chance.choice((0, 0, 0, 5, 30)),
        flushes=chance.choice((0, 0, 1, 3)),
        nowait=0.0 if bulk else chance.choice((0.0, 0.2, 1.0)),
        profile=0.0 if bulk else chance.choice((0.0, 0.01, 0.2)),
        identify=0.0 if bulk else chance.choice((0.0, 0.01, 0.1)),
        await_receipts=0.0 if bulk else chance.choice((0.0, 0.01, 0.1)),
        pause=0.0 if bulk else chance.choice((0.0, 0.001, 0.02, 0.2)),
        collect=chance.choices(("no", "sync", "async"), (70, 15, 15))[0],
    )


_REFUSALS = ((200, 40201), (401, 40201), (403, 0), (200, 40101), (404, 0), (302, 0))


def make_weather(plan: Plan, chance: Random, now: float) -> Weather:
    """Draw the next spell of weather."""
    until = now + chance.expovariate(1 / 15)
    latency = (low := chance.choice((0.005, 0.05, 0.5)), low * chance.choice((1, 1, 3, 20)))
    if plan.refusals and chance.random() < 0.15:
        return Weather(until, latency=latency, refusal=chance.choice(_REFUSALS))
    if plan.faults and chance.random() < 0.1:
        return Weather(until, latency=latency, outage=True)
    shares = [chance.random() ** 4 if chance.random() < 0.4 else 0.0 for _ in FATES]
    total = plan.faults * chance.random() * 2
    scale = min(total, 0.9) / (sum(shares) or 1.0)
    return Weather(until, list(itertools.accumulate(share * scale for share in shares)), latency)


def wall_jump(chance: Random) -> float:
    """By how much the wall clock jumps."""
    return chance.choice((3600.0, -3600.0, _YEAR, -_YEAR))
