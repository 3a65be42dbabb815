"""The users' side of a simulation: tasks that hand over work, wait, flush, give up and close."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections import deque
from random import Random
from typing import Any

import anyio
from sim_far_end import EPOCH
from sim_ledger import EVENT, IDENTITY, PROFILE, Ledger, User
from sim_plan import Plan, ProducerPlan

from dfinery_async import (
    ApiError,
    ClientClosed,
    ConnectionFailed,
    DeliveryError,
    Event,
    Identity,
    QueueFull,
    Receipt,
    Rejection,
    UnexpectedResponse,
)
from dfinery_async.runtime.producer import Producer

__all__ = ["Crowd", "Wall"]

SLACK = 0.5  # seconds beyond a time-out after which flush and aclose must be back
_MOMENT = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
_SAMPLE_EVERY = 50
_TURN = 0.001  # a unit counts from the beginning of the turn of the loop in which it came in


class Wall:
    """The machine's clock: it jumps, and never says the same millisecond twice, so that a moment names its call."""

    def __init__(self, ledger: Ledger) -> None:
        self.offset = 0.0
        self.asking: int | None = None  # the call that asks for the time now
        self._ledger = ledger
        self._given: set[int] = set()

    def __call__(self) -> float:
        millisecond = int((EPOCH + asyncio.get_running_loop().time() + self.offset) * 1000)
        if self.asking is None:
            return millisecond / 1000
        while millisecond in self._given:
            millisecond += 1
        self._given.add(millisecond)
        seconds = millisecond / 1000 + 0.0001
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
        self._ledger.moments[f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"] = self.asking
        return seconds


class Crowd:
    """Everybody who uses one producer."""

    def __init__(
        self,
        plan: Plan,
        part: ProducerPlan,
        ledger: Ledger,
        wall: Wall,
        producer: Producer,
        *,
        owner: int,
        rejected: list[Rejection],
    ) -> None:
        self.plan = plan
        self.part = part
        self.producer = producer
        self.owner = owner
        self.cut = False  # whether its close gave something up
        self.rejected = rejected
        self._ledger = ledger
        self._wall = wall
        self._prefix = f"{plan.seed & 0xFFFFFFFF:08x}-51ed-4abc-8def-"
        self._chance = Random(f"crowd {plan.seed} {owner}")
        self._loop = asyncio.get_running_loop()
        self._users = [self._user(f"{owner}-{rank}", rank) for rank in range(self.part.users)]
        self._said = 0
        # A request that waits for a connection counts as in the air, and nobody but the client knows of it.
        self._timeout: float | None = None if plan.crowded else part.options.get("delivery_timeout")
        self._due: deque[tuple[float, int]] = deque()  # when units must be settled or in the air
        self._alarm: asyncio.TimerHandle | None = None

    def _user(self, name: str, rank: int) -> User:
        """Many users share a part of their identity: none of them may be taken for another."""
        match rank % 5:
            case 1:
                as_json = {"external_id": f"{self.owner}-{rank - 1}", "email": f"{name}@example.com"}
            case 2:
                as_json = {"email": f"{self.owner}-{rank - 1}@example.com"}
            case _:
                as_json = {"external_id": name}
        who = name if rank % 5 == 3 else Identity(**as_json)
        user = User(who, as_json, self.owner)
        user.refused = self.plan.poison > 0 and self._chance.random() < 0.05
        self._ledger.users.append(user)
        return user

    async def live(self) -> None:
        """Hand over everything, and close when it is time."""
        part = self.part
        share = part.units // part.tasks + 1
        async with asyncio.TaskGroup() as group:
            for _ in range(part.tasks):
                group.create_task(self._hand_over(share))
            for _ in range(part.cancelled_callers):
                group.create_task(self._cancelled())
            for _ in range(part.flushes):
                group.create_task(self._flush())
            if part.close_at is not None:
                await asyncio.sleep(part.close_at)
                await self.close()
        if part.close_timeout is not None and not self.producer.closed:
            await self.close()

    async def _hand_over(self, count: int) -> None:
        chance = Random(self._chance.getrandbits(64))
        part, ledger, producer = self.part, self._ledger, self.producer
        odd = part.profile + part.identify + part.nowait > 0
        pause, awaited = part.pause, part.await_receipts
        picks = chance.choices(self._users, cum_weights=part.weights, k=count)
        random = chance.random
        try:
            for user in picks:
                if odd and (random() < 0.5):
                    receipt = await self._odd(user, chance, self._odd_kind(chance))
                else:
                    number = ledger.call(user, EVENT)
                    if awaited:
                        ledger.called_at[number] = self._loop.time()
                    try:
                        receipt = await producer.track(user.who, self._event(number, chance))
                    except QueueFull:
                        ledger.refuse(number)
                        receipt = None
                    except DeliveryError as error:
                        self._hopeless(number, error)
                        receipt = None
                    except ClientClosed:
                        ledger.refuse(number)
                        raise
                    else:
                        self._accepted(number, receipt)
                if receipt is None:
                    await asyncio.sleep(0.1)
                elif awaited and random() < awaited:
                    await self._await(receipt)
                if pause and random() < pause:
                    await asyncio.sleep(chance.choice((0.0, 0.01, 0.3, 3.0)))
                self._said += 1
                if not self._said % _SAMPLE_EVERY:
                    self.sample()
        except ClientClosed:
            return

    def _odd_kind(self, chance: Random) -> int:
        part = self.part
        draw = chance.random() * (part.profile + part.identify + part.nowait)
        return PROFILE if draw < part.profile else IDENTITY if draw < part.profile + part.identify else EVENT

    async def _odd(self, user: User, chance: Random, kind: int) -> Receipt | None:
        """Anything but a plain `track`."""
        ledger = self._ledger
        number = ledger.call(user, kind)
        try:
            receipt = await self._call(number, kind, user, chance)
        except QueueFull:
            ledger.refuse(number)
            return None
        except DeliveryError as error:
            self._hopeless(number, error)
            return None
        except ClientClosed:
            ledger.refuse(number)
            raise
        except asyncio.CancelledError:
            ledger.unknown(number)
            raise
        self._accepted(number, receipt)
        return receipt

    def _accepted(self, number: int, receipt: Receipt) -> None:
        self._ledger.accepted(number, receipt)
        if self._timeout is not None:
            when = self._loop.time() + self._timeout + SLACK
            self._due.append((when, number))
            if self._alarm is None:
                self._alarm = self._loop.call_at(when, self._look_for_overdue)

    def _look_for_overdue(self) -> None:
        """Nothing may outlive its time."""
        now, due = self._loop.time(), self._due
        while due and due[0][0] <= now:
            _, number = due.popleft()
            if self._ledger.overdue(number):
                self._ledger.breaks("waiter", f"unit {number} still waits, {SLACK} s after its delivery_timeout")
        self._alarm = self._loop.call_at(due[0][0], self._look_for_overdue) if due else None

    def look_no_more(self) -> None:
        """All is closed."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _hopeless(self, number: int, error: DeliveryError) -> None:
        """A producer may say that there is no use in handing over more, if refusals are the reason."""
        self._ledger.refuse(number)
        if not isinstance(error.__cause__, ApiError | UnexpectedResponse):
            self._ledger.breaks("untrue", f"nothing is said to get through, by {error.__cause__!r}")

    async def _call(self, number: int, kind: int, user: User, chance: Random) -> Receipt:
        if kind == PROFILE:
            if chance.random() < self.plan.poison:
                self._ledger.poison.add(number)
            return await self.producer.set_profile(user.who, {str(number): number, "last": number})
        if kind == EVENT:
            return self.producer.track_nowait(user.who, self._event(number, chance))
        if user.refused:
            self._ledger.poison.add(number)
        self._wall.asking = number
        return await self.producer.identify(user.who)

    def _event(self, number: int, chance: Random) -> Event:
        plan, ledger = self.plan, self._ledger
        log_id = f"{self._prefix}{number:012x}"
        ledger.number_of[log_id] = number
        if plan.poison and chance.random() < plan.poison:
            ledger.poison.add(number)
        properties = {"text": "x" * int(chance.paretovariate(0.7) % 3000)} if plan.large else None
        items = [{"n": at} for at in range(chance.choice((0, 1, 7, 40, 100)))] if plan.items else None
        return Event("e", properties=properties, items=items, datetime=_MOMENT, log_id=log_id)

    async def _await(self, receipt: Receipt) -> None:
        """Wait for a receipt, as most users would: what it says must be true at that moment."""
        ledger = self._ledger
        number = ledger.receipts.index(receipt)
        try:
            await receipt
        except DeliveryError as error:
            timeout = self.part.options.get("delivery_timeout", float("inf"))
            age = self._loop.time() - ledger.called_at.get(number, float("-inf"))
            if isinstance(error.__cause__, ConnectionFailed) and age < timeout - _TURN:
                ledger.breaks("untrue", f"unit {number} was given up after {age:.3f} s")
        else:
            if number not in ledger.applied:
                ledger.breaks("untrue", f"unit {number} is said to be delivered")

    async def _cancelled(self) -> None:
        """Call, and be cancelled in the middle of it, in one of three ways."""
        chance = Random(self._chance.getrandbits(64))
        await asyncio.sleep(chance.uniform(0.0, 20.0))
        user = chance.choices(self._users, cum_weights=self.part.weights)[0]
        patience = chance.choice((0.0, 0.001, 0.05, 1.0))
        match chance.randrange(3):
            case 0:
                task = asyncio.create_task(self._one(user, chance))
                await asyncio.sleep(patience)
                task.cancel()
                await asyncio.wait([task])
            case 1:
                try:
                    async with asyncio.timeout(patience):
                        await self._one(user, chance)
                except TimeoutError:
                    pass
            case _:
                with anyio.move_on_after(patience):
                    await self._one(user, chance)

    async def _one(self, user: User, chance: Random) -> None:
        ledger = self._ledger
        if chance.random() < 0.2:
            await self.producer.flush()
            return
        if chance.random() < 0.2:
            with contextlib.suppress(ClientClosed):
                await self._odd(user, chance, chance.choice((PROFILE, IDENTITY)))
            return
        number = ledger.call(user, EVENT)
        try:
            receipt = await self.producer.track(user.who, self._event(number, chance))
        except DeliveryError as error:
            self._hopeless(number, error)
        except (QueueFull, ClientClosed):
            ledger.refuse(number)
        except asyncio.CancelledError:
            ledger.unknown(number)
            raise
        else:
            self._accepted(number, receipt)
            await self._await(receipt)

    async def _flush(self) -> None:
        chance = Random(self._chance.getrandbits(64))
        await asyncio.sleep(chance.uniform(0.0, 20.0))
        timeout = chance.choice((None, 0.0, 0.2, 5.0))
        since = self._loop.time()
        mine = [
            receipt
            for user, receipt in zip(self._ledger.user_of, self._ledger.receipts, strict=True)
            if receipt is not None and user.owner == self.owner and not receipt.done()
        ]
        report = await self.producer.flush(timeout)
        took = self._loop.time() - since
        if timeout is not None and took > timeout + SLACK:
            self._ledger.breaks("waiter", f"flush({timeout}) took {took:.3f} s")
        in_time = timeout is None or took < timeout
        left = [receipt for receipt in mine if not receipt.done()]
        if left and (timeout is None or (in_time and timeout > 0)):
            self._ledger.breaks("waiter", f"flush({timeout}) came back with {len(left)} units of before still pending")
        self._balance(report)

    async def close(self) -> None:
        """Close, in the way of the plan."""
        part = self.part
        self.cut = part.close_timeout is not None or part.cancel_close_after is not None
        since = self._loop.time()
        closing = [asyncio.create_task(self.producer.aclose(part.close_timeout)) for _ in range(1 + part.close_twice)]
        if part.cancel_close_after is not None:
            await asyncio.wait(closing, timeout=part.cancel_close_after)
            for task in closing:
                task.cancel()
        await asyncio.wait(closing)
        took = self._loop.time() - since
        bound = min(
            float("inf") if part.close_timeout is None else part.close_timeout,
            float("inf") if part.cancel_close_after is None else part.cancel_close_after,
        )
        if took > bound + SLACK:
            self._ledger.breaks("waiter", f"aclose({part.close_timeout}) took {took:.3f} s")
        report = self.producer.stats()
        self._balance(report)
        if report.pending:
            self._ledger.breaks("waiter", f"{report.pending} units pending after the close")
        try:
            await self.producer.track("u", "e")
        except ClientClosed:
            pass
        else:
            self._ledger.breaks("lost", "a closed producer takes work")

    def sample(self) -> None:
        """Compare the producer's books with what really happened."""
        self._balance(self.producer.stats())

    def _balance(self, books: Any) -> None:
        ledger, owner = self._ledger, self.owner
        settled = books.delivered + books.rejected + books.dropped + books.spooled
        if books.accepted != settled + books.pending or books.pending < 0 or books.pending_bytes < 0:
            ledger.breaks("books", f"do not balance: {books}")
        if books.delivered > ledger.applied_of[owner]:
            ledger.breaks("books", f"{books.delivered} delivered, {ledger.applied_of[owner]} really were")
        if books.accepted > ledger.called_of[owner]:
            ledger.breaks("books", f"{books.accepted} accepted of {ledger.called_of[owner]} calls")
        if books.state == "failed":
            ledger.breaks("crash", "the producer failed")
