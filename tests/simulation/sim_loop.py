"""Virtual time for simulations: a loop that makes no system call, and that notices when nothing can go on any more."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["SimulationLoop", "Stuck", "virtually"]

T = TypeVar("T")

_TICK = 1e-6  # what a turn costs; with no time at all aiolimiter spins, as rounding leaves a waiter due "now"
_MOST_TURNS_IN_A_ROW = 200_000


class Stuck(RuntimeError):
    """Everybody waits and nothing is scheduled, or the loop turns without end."""


class _Selector(selectors.SelectSelector):
    """Watches nothing: the far end lives in this process, and time passes when nobody has anything left to do."""

    loop: SimulationLoop
    turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        loop = self.loop
        if timeout is None:
            raise Stuck("deadlock: everybody waits, and nothing is scheduled")
        if timeout > _TICK:
            self.turns = 0
            loop.now += timeout
        else:
            self.turns += 1
            loop.now += _TICK
            if self.turns > _MOST_TURNS_IN_A_ROW:
                raise Stuck("livelock: the loop turns and turns")
        if loop.now > loop.latest:
            raise Stuck(f"still not done after {loop.latest:.0f} s of virtual time")
        return []


class SimulationLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer as soon as nothing else is left to do, up to the `latest`."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self
        self.now = 0.0
        self.latest = math.inf
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.now

    def armed(self) -> list[asyncio.TimerHandle]:
        """Timers that will still fire."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return [handle for handle in scheduled if not handle.cancelled()]


def virtually(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario in virtual time."""
    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        return runner.run(scenario)
