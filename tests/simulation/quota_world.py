"""Many clients on one quota, in virtual time: real pacers, each with a chance of its own, and a model of the server."""

from __future__ import annotations

import asyncio
import email.utils
import math
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Protocol

from sim_loop import virtually

from dfinery_async.config import PacingConfig, RetryConfig
from dfinery_async.errors import DfineryError
from dfinery_async.runtime.pacer import Pacer, make_pacers
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["EPOCH", "Client", "Figures", "Fixed", "Plan", "Sliding", "TokenBucket", "coming_and_going", "simulate"]

EPOCH = 1_790_000_000.0
"""The server's clock at the beginning."""


class Server(Protocol):
    """A model of how a quota is counted."""

    limit: int
    period: float

    def take(self, now: float) -> tuple[bool, int, float]:
        """Count a call: whether it is allowed, what is left, and when the quota is whole again."""
        ...


class Fixed:
    """Windows of one length, one after the other; all of the quota comes back at once."""

    def __init__(self, limit: int, period: float, phase: float) -> None:
        self.limit, self.period, self.phase = limit, period, phase
        self._number = -1
        self._used = 0

    def take(self, now: float) -> tuple[bool, int, float]:
        number = int((now + self.phase) // self.period)
        if number != self._number:
            self._number, self._used = number, 0
        allowed = self._used < self.limit
        self._used += allowed
        return allowed, self.limit - self._used, (number + 1) * self.period - self.phase


class Sliding:
    """So many calls within any span of one length; the reset is the moment when the oldest one no longer counts."""

    def __init__(self, limit: int, period: float, phase: float) -> None:
        self.limit, self.period = limit, period
        self._calls: deque[float] = deque()

    def take(self, now: float) -> tuple[bool, int, float]:
        calls = self._calls
        while calls and calls[0] <= now - self.period:
            calls.popleft()
        allowed = len(calls) < self.limit
        if allowed:
            calls.append(now)
        return allowed, self.limit - len(calls), calls[0] + self.period


class TokenBucket:
    """A bucket that fills evenly; the reset is the moment when it is full."""

    def __init__(self, limit: int, period: float, phase: float) -> None:
        self.limit, self.period = limit, period
        self._tokens = float(limit)
        self._at = -math.inf

    def take(self, now: float) -> tuple[bool, int, float]:
        rate = self.limit / self.period
        self._tokens = min(float(self.limit), self._tokens + (now - self._at) * rate)
        self._at = now
        allowed = self._tokens >= 1
        self._tokens -= allowed
        return allowed, int(self._tokens), now + (self.limit - self._tokens) / rate


@dataclass
class Client:
    """When one client is there, and how much it wants.

    Attributes:
        joins: seconds after the beginning.
        leaves: seconds after the beginning.
        rate: calls a second that it wants at the most.
    """

    joins: float = 0.0
    leaves: float = math.inf
    rate: float = math.inf


@dataclass
class Plan:
    """One simulation.

    Attributes:
        clients: who is there.
        limit: calls in a window.
        period: length of a window in seconds.
        windows: how many.
        server: the model.
        latency: seconds to the server and back, at least and at the most.
        in_flight: calls of one client under way at the most.
        share: where the quota is shared, for all clients; without it they see each other by what replies say.
        pacing: settings of the clients.
        whole_seconds: whether resets are told in whole seconds, and not in milliseconds.
    """

    clients: list[Client]
    limit: int = 3000
    period: float = 60.0
    windows: int = 12
    server: Any = Fixed
    latency: tuple[float, float] = (0.025, 0.075)
    in_flight: int = 16
    whole_seconds: bool = False
    share: Any = None
    pacing: dict[str, Any] = field(default_factory=dict)


@dataclass
class Figures:
    """What came of it, by window and client."""

    plan: Plan
    allowed: Counter[tuple[int, int]] = field(default_factory=Counter)
    refused: Counter[tuple[int, int]] = field(default_factory=Counter)
    phase: float = 0.0

    def ends_at(self, window: int) -> float:
        """When a window ends."""
        return (window + 1) * self.plan.period - self.phase

    def used(self, first: int = 2) -> float:
        windows = self.plan.windows - first
        total = sum(count for (window, _), count in self.allowed.items() if first <= window < self.plan.windows)
        return total / (windows * self.plan.limit)

    def throttled(self, first: int = 2) -> float:
        bad = sum(count for (window, _), count in self.refused.items() if window >= first)
        good = sum(count for (window, _), count in self.allowed.items() if window >= first)
        return bad / max(1, bad + good)

    def shares(self, window: int, last: int) -> dict[int, float]:
        """Each client's calls in some windows, as a part of what each of those who were there had in the mean."""
        counts = Counter[int]()
        for (at, client), count in self.allowed.items():
            if window <= at < last:
                counts[client] += count
        here = self.present(window, last)
        mean = sum(counts[client] for client in here) / max(1, len(here))
        return {client: counts[client] / max(1.0, mean) for client in here}

    def faults(self, *, used: float = 0.97, throttled: float = 0.001, fair: float = 0.8, first: int = 2) -> list[str]:
        """What is below its floor, from the window `first` on."""
        found = []
        if self.used(first) < used:
            found.append(f"used {self.used(first):.2%}")
        if self.throttled(first) > throttled:
            found.append(f"throttled {self.throttled(first):.3%}")
        for window in range(first, self.plan.windows - 2):
            shares = self.shares(window, window + 2)
            if shares and min(shares.values()) < fair:
                found.append(f"shares in windows {window} and {window + 1} down to {min(shares.values()):.2f}")
        return found

    def present(self, window: int, last: int) -> list[int]:
        """Who wants as much as it can get, was there for a window before, and stays."""
        period = self.plan.period
        return [
            number
            for number, client in enumerate(self.plan.clients)
            if client.joins <= max(0, window - 2) * period
            and client.leaves >= last * period
            and client.rate == math.inf
        ]


def coming_and_going(count: int, period: float, windows: int, seed: int) -> list[Client]:
    """Half of them stay; the others come at any time, and go after two to six windows."""
    chance = Random(f"clients {seed}")
    clients = [Client() for _ in range(count - count // 2)]
    for _ in range(count // 2):
        joins = chance.uniform(0.0, max(1, windows - 4)) * period
        clients.append(Client(joins, joins + chance.uniform(2.0, 6.0) * period))
    return clients


class World:
    """Runs a plan."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan = plan
        self.chance = Random(f"quota {seed}")
        self.phase = self.chance.random() * plan.period
        self.server: Server = plan.server(plan.limit, plan.period, self.phase)
        self.figures = Figures(plan, phase=self.phase)
        self.end = plan.windows * plan.period - self.phase

    async def run(self) -> Figures:
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(self.plan.clients):
                group.create_task(self._live(number, client))
        return self.figures

    async def _live(self, number: int, client: Client) -> None:
        loop = asyncio.get_running_loop()
        chance = Random(self.chance.random())
        await asyncio.sleep(client.joins + chance.random() * 0.05)
        tasks = TaskOwner()
        pacing = PacingConfig(events=1_000_000, **self.plan.pacing)
        share = self.plan.share
        leases = None if share is None else partial(share.open, "svc")
        pacer = make_pacers(pacing, RetryConfig(), tasks, chance, leases)["events"]
        in_air = asyncio.Semaphore(self.plan.in_flight)
        ends = min(client.leaves, self.end)
        calls: set[asyncio.Task[None]] = set()
        try:
            async with asyncio.timeout_at(ends):
                while True:
                    await in_air.acquire()
                    await self._leave(pacer)
                    call = loop.create_task(self._call(number, pacer, in_air, chance), name=f"client {number}")
                    calls.add(call)
                    call.add_done_callback(calls.discard)
                    if client.rate < math.inf:
                        await asyncio.sleep(chance.expovariate(client.rate))
        except TimeoutError:
            pass
        await asyncio.gather(*calls)
        await tasks.aclose()
        await pacer.aclose()

    async def _leave(self, pacer: Pacer) -> None:
        """As a dispatcher takes it: it waits however long it takes."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await pacer.take(loop.time() + 2 * self.plan.period)
            except DfineryError:
                pass

    async def _call(self, number: int, pacer: Pacer, in_air: asyncio.Semaphore, chance: Random) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(chance.uniform(*self.plan.latency) / 2)
            now = loop.time()
            allowed, left, reset = self.server.take(now)
            window = int((now + self.phase) // self.plan.period)
            (self.figures.allowed if allowed else self.figures.refused)[window, number] += 1
            headers = self._headers(now, left, reset)
            await asyncio.sleep(chance.uniform(*self.plan.latency) / 2)
            pacer.observe(headers, throttled=not allowed)
            if not allowed:
                pacer.throttled()
        finally:
            in_air.release()

    def _headers(self, now: float, left: int, reset: float) -> list[tuple[str, str]]:
        moment = EPOCH + reset
        return [
            ("date", email.utils.formatdate(math.floor(EPOCH + now), usegmt=True)),
            ("x-ratelimit-limit", f"{int(self.plan.period)}s"),
            ("x-ratelimit-remaining", str(left)),
            ("x-ratelimit-reset", str(math.ceil(moment) if self.plan.whole_seconds else math.ceil(moment * 1000))),
        ]


def simulate(plan: Plan, seed: int) -> Figures:
    """Run a plan; the same seed gives the same figures."""

    async def run() -> Figures:
        return await World(plan, seed).run()

    return virtually(run())
