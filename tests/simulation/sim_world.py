"""One simulation from beginning to end: a client, its users, the far end, and the checks at the end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sim_audit import audit, check_leaks
from sim_far_end import FarEnd
from sim_ledger import Ledger
from sim_loop import SimulationLoop, Stuck, virtually
from sim_plan import Plan, make_plan, wall_jump
from sim_users import Crowd, Wall

from dfinery_async import DfineryClient, Rejection
from dfinery_async.config import ConnectionConfig, PacingConfig, RetryConfig, TimeoutConfig
from dfinery_async.runtime import clock

__all__ = ["Result", "simulate"]

_LONGEST = 20_000.0  # virtual seconds until all is handed over, besides what its requests take
_LONGEST_REST = 80_000.0  # for all that comes after
_SLOWEST = 2.0  # seconds a request where nothing goes wrong: half of the scarcest quota is one a second
_FEWEST_AFTER_CHANGE = 5
_LONGEST_CLOSE = 600.0  # when nothing goes wrong any more, and a second more a unit: it may travel alone
_log = logging.getLogger("dfinery_async.producer")


@dataclass(slots=True)
class Result:
    """What came of one seed."""

    seed: int
    delivered: int = 0
    requests: int = 0
    virtual: float = 0.0
    trace: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)


def simulate(seed: int, scale: float = 1.0) -> Result:
    """Run the simulation of a seed. The same seed and scale give the same trace."""
    return _World(make_plan(seed, scale)).simulate()


def longest(plan: Plan) -> float:
    """Virtual seconds until all must be handed over.

    It is a matter of the world: where the far end takes one event a request, half of all attempts go wrong and each
    hangs for a minute, a single user's 30,000 events take days, and nobody is to blame. So each full request has the
    time of an attempt and of a backoff, by the chance that it needs them. Who stands still is found earlier, by the
    silence.
    """
    fewest = _FEWEST_AFTER_CHANGE if plan.cap_changes else plan.cap
    requests = sum(part.units for part in plan.producers) / fewest
    backoff: float = plan.retry["cap"]
    return _LONGEST + requests * (_SLOWEST + plan.faults * (plan.attempt_timeout + backoff))


class _World:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ledger = Ledger()
        self.wall = Wall(self.ledger)
        self.crowds: list[Crowd] = []
        self.chance = Random(f"world {plan.seed}")

    def simulate(self) -> Result:
        result = Result(self.plan.seed, broken=self.ledger.broken, first=self.ledger.first, seen=self.ledger.seen)
        # Time that does not wait for us, and silence: a million warnings of a queue that is full help nobody.
        wall, clock.wall = clock.wall, self.wall
        quiet, _log.disabled = _log.disabled, True
        try:
            virtually(self._run(result))
        except Stuck as error:
            self.ledger.breaks("waiter", str(error))
        finally:
            clock.wall = wall
            _log.disabled = quiet
        return result

    async def _run(self, result: Result) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        loop.set_exception_handler(lambda _, context: self.ledger.breaks("leak", str(context["message"])))
        latest = longest(self.plan)
        loop.latest = latest + _LONGEST_REST
        far_end = FarEnd(self.plan, self.ledger, self._watch)
        client = self._client(far_end)
        try:
            async with asyncio.timeout(latest):
                await self._live(client)
            far_end.settle()
            async with asyncio.timeout(_LONGEST_CLOSE + len(self.ledger.receipts)):
                for crowd in self.crowds:
                    if not crowd.producer.closed:
                        await crowd.producer.aclose(None)
        except* TimeoutError:
            states = [crowd.producer.stats() for crowd in self.crowds]
            self.ledger.breaks("waiter", f"not done after {loop.now:.0f} s: {states}")
        except* Exception as group:  # noqa: BLE001 - whatever a user's call raised that it must not
            self.ledger.breaks("crash", repr(group.exceptions))
        await client.aclose()
        result.delivered = sum(crowd.producer.stats().delivered for crowd in self.crowds)
        result.requests = far_end.requests
        result.virtual = loop.now
        result.trace = far_end.trace
        await audit(self.ledger, self.crowds, far_end.requests)
        for crowd in self.crowds:
            books = crowd.producer.stats()
            self.ledger.seen += Counter(accepted=books.accepted, rejected=books.rejected, dropped=books.dropped)
        await asyncio.sleep(far_end.quiet_at - loop.now)
        check_leaks(self.ledger, client, self.crowds, loop, self.plan)

    def _client(self, far_end: FarEnd) -> DfineryClient:
        plan = self.plan
        client = DfineryClient(
            "svc",
            import_token="import-token",
            transport=far_end,
            timeouts=TimeoutConfig(total=plan.attempt_timeout),
            connections=ConnectionConfig(max_connections=plan.connections),
            retry=RetryConfig(**plan.retry),
            pacing=PacingConfig(**plan.pacing),
        )
        client._random.seed(plan.seed)
        return client

    async def _live(self, client: DfineryClient) -> None:
        for part in self.plan.producers:
            rejected: list[Rejection] = []
            options = dict(part.options)
            if part.collect == "sync":
                options["on_rejected"] = rejected.append
            elif part.collect == "async":
                options["on_rejected"] = _slowly(rejected)
            producer = client.producer(**options)
            owner = self.ledger.producer(options.get("max_batch_bytes", 1024 * 1024))
            self.crowds.append(Crowd(self.plan, part, self.ledger, self.wall, producer, owner=owner, rejected=rejected))
        asides = [asyncio.create_task(self._jump()), asyncio.create_task(self._renew(client))]
        async with asyncio.TaskGroup() as group:
            for crowd in self.crowds:
                group.create_task(crowd.live())
        for task in asides:
            task.cancel()
        await asyncio.wait(asides)

    def _watch(self) -> None:
        for crowd in self.crowds:
            crowd.sample()

    async def _jump(self) -> None:
        while self.plan.jumps:
            await asyncio.sleep(self.chance.expovariate(1 / 10))
            self.wall.offset += wall_jump(self.chance)
            self.ledger.seen["wall clock jumped"] += 1
            self.wall.offset = max(-3e8, min(self.wall.offset, 3e8))

    async def _renew(self, client: DfineryClient) -> None:
        while self.plan.new_tokens:
            await asyncio.sleep(self.chance.expovariate(1 / 10))
            client.set_tokens(import_token=f"token-{self.chance.random()}")


def _slowly(rejected: list[Rejection]) -> Any:
    async def collect(rejection: Rejection) -> None:
        await asyncio.sleep(0.001)
        rejected.append(rejection)

    return collect
