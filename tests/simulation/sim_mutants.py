"""Defects put into our own code, one at a time: what a checker is worth shows when something is wrong.

Each mutant names the checks that may catch it and the seeds within which one of them must. "Accept before commit" of the
list that these come from belongs to the spool, and is not here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dfinery_async.core import codec, lanes, outcome, quota, work
from dfinery_async.core.books import Books
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.errors import ConnectionFailed
from dfinery_async.runtime import clock, dispatcher, gateway, pacer, producer, receipts, room, transport

__all__ = ["MUTANTS", "Mutant", "mutated"]

Patch = Callable[[Callable[[Any, str, Any], None]], None]


class Mutant:
    """A defect.

    Args:
        apply: puts it in, by a function that replaces an attribute until the end.
        caught_by: the checks that may find it.
        within: seeds that are enough.
    """

    def __init__(self, apply: Patch, caught_by: set[str], within: int) -> None:
        self.apply = apply
        self.caught_by = caught_by
        self.within = within


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """Put a defect in, and take it out again."""
    undo: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    try:
        mutant.apply(put)
        yield
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)


MUTANTS: dict[str, Mutant] = {}


def mutant(name: str, *, caught_by: set[str], within: int) -> Callable[[Patch], Patch]:
    def add(apply: Patch) -> Patch:
        MUTANTS[name] = Mutant(apply, caught_by, within)
        return apply

    return add


_Dispatcher, _Lanes, _Producer = dispatcher.Dispatcher, lanes.Lanes, producer.Producer


# Taken as done.


@mutant("acknowledged before it is sent", caught_by={"books", "lost", "untrue"}, within=3)
def _ack_before_send(put: Any) -> None:
    send = gateway.Gateway.send

    async def early(self: Any, endpoint: Any, body: bytes) -> Outcome:
        self.later = asyncio.create_task(send(self, endpoint, body))
        return Outcome(Verdict.DELIVERED)

    put(gateway.Gateway, "send", early)


def _classified(put: Any, change: Callable[[int, bytes, Outcome], Outcome]) -> None:
    classify = outcome.classify

    def wrongly(status: int, body: bytes, *more: Any) -> Outcome:
        return change(status, body, classify(status, body, *more))

    put(gateway, "classify", wrongly)


@mutant("a 500 taken as done", caught_by={"books", "lost", "untrue"}, within=40)
def _500_as_done(put: Any) -> None:
    _classified(put, lambda status, _, meant: Outcome(Verdict.DELIVERED) if status == 500 else meant)


@mutant("a 200 taken as done without reading its status", caught_by={"books", "lost", "untrue"}, within=10)
def _200_as_done(put: Any) -> None:
    _classified(put, lambda status, _, meant: Outcome(Verdict.DELIVERED) if status == 200 else meant)


@mutant("an unreadable answer taken as done", caught_by={"books", "lost", "untrue"}, within=20)
def _unreadable_as_done(put: Any) -> None:
    _classified(put, lambda status, body, meant: Outcome(Verdict.DELIVERED) if b"{" not in body else meant)


@mutant("a refused token taken as a bad event", caught_by={"lost"}, within=150)
def _token_as_refusal(put: Any) -> None:
    refused = {Verdict.UNAUTHORIZED, Verdict.MISCONFIGURED}
    _classified(
        put, lambda _, __, meant: Outcome(Verdict.REFUSED, meant.error) if meant.verdict in refused else meant
    )


# Lanes.


@mutant("two requests of one user in the air", caught_by={"two in air"}, within=3)
def _two_in_air(put: Any) -> None:
    take = _Lanes.take

    def free(self: Any, family: Any, now: float, **kind: Any) -> Any:
        batch = take(self, family, now, **kind)
        if batch is not None and (lane := self._lanes[batch.key]).waiting:
            lane.in_air = False
            self._stand(lane, now)
        return batch

    put(_Lanes, "take", free)


@mutant("150 events in a request", caught_by={"size"}, within=20)
def _large_batches(put: Any) -> None:
    _caps(put, events=150)


@mutant("items not counted", caught_by={"size"}, within=30)
def _items_uncounted(put: Any) -> None:
    _caps(put, items=10_000)


@mutant("bytes not counted", caught_by={"size"}, within=30)
def _bytes_uncounted(put: Any) -> None:
    _caps(put, bytes=2**40)


def _caps(put: Any, **wrong: int) -> None:
    begin = _Lanes.__init__

    def wide(self: Any, caps: Any, **options: Any) -> None:
        begin(self, caps, **options)
        for name, value in wrong.items():
            setattr(caps, name, value)

    put(_Lanes, "__init__", wide)


@mutant("a neighbour's event in one of 1,000", caught_by={"grouping"}, within=20)
def _neighbours(put: Any) -> None:
    body = work.Batch.body
    seen = Counter[str]()
    last: dict[bytes, bytes] = {}

    def mixed(self: Any) -> bytes:
        if self.works[0].family != "events":
            return body(self)
        payloads = [one.payload for one in self.works]
        seen["events"] += len(payloads)
        others = [payload for key, payload in last.items() if key != self.key]
        if others and seen["events"] >= 1000:
            seen["events"] -= 1000
            payloads[-1] = others[0]
        last.clear()
        last[self.key] = self.works[-1].payload
        return codec.events_body(self.key, payloads)

    put(work.Batch, "body", mixed)


@mutant("users told apart by external_id alone", caught_by={"grouping"}, within=12)
def _identity_cut(put: Any) -> None:
    encode = codec.encode_identity

    def short(identity: Any) -> bytes:
        text = identity.external_id
        return encode(identity if text is None else type(identity)(external_id=text))

    put(codec, "encode_identity", short)


@mutant("a request to repeat goes to the end of its lane", caught_by={"order"}, within=12)
def _repeat_last(put: Any) -> None:
    put_back = _Lanes.put_back

    def behind(self: Any, batch: Any, now: float, not_before: float = float("-inf")) -> None:
        lane = self._lanes[batch.key]
        if lane.front or not lane.waiting:
            put_back(self, batch, now, not_before)
            return
        for one in batch.works:
            lane.append(one)
        lane.in_air = False
        self._stand(lane, now, not_before)

    put(_Lanes, "put_back", behind)


@mutant("a profile overtakes the events before it", caught_by={"order", "bytes"}, within=12)
def _profiles_first(put: Any) -> None:
    append = lanes._Lane.append

    def first(self: Any, one: Any) -> None:
        append(self, one)
        if one.family == "profiles" and self.in_air:
            self.waiting.insert(0, self.waiting.pop())

    put(lanes._Lane, "append", first)


@mutant("earlier values win in merged profiles", caught_by={"grouping"}, within=30)
def _earlier_wins(put: Any) -> None:
    body = work.Batch.body

    def backwards(self: Any) -> bytes:
        if self.works[0].family != "profiles":
            return body(self)
        merged: dict[str, Any] = {}
        for one in self.works:
            merged = {**one.payload, **merged}
        return codec.profile_body(self.key, merged, self.works[-1].moment)

    put(work.Batch, "body", backwards)


@mutant("a repeated request takes in what came meanwhile", caught_by={"bytes"}, within=20)
def _repeat_more(put: Any) -> None:
    put_back = _Lanes.put_back

    def thawed(self: Any, batch: Any, now: float, not_before: float = float("-inf")) -> None:
        lane = self._lanes[batch.key]
        if lane.waiting and not lane.front and len(batch.works) < self.caps.events:
            if lane.waiting[0].family == batch.works[0].family and lane.waiting[0].items == 0:
                batch.works = [*batch.works, *lane.remove(1)]
        put_back(self, batch, now, not_before)

    put(_Lanes, "put_back", thawed)


@mutant("a repeated request has a new event_log_id", caught_by={"grouping"}, within=12)
def _new_id(put: Any) -> None:
    body = work.Batch.body

    def renamed(self: Any) -> bytes:
        text = body(self)
        mark = b'"event_log_id":"'
        at = text.find(mark) + len(mark)
        if self.attempts == 0 or at < len(mark):
            return text
        return text[:at] + b"%08x" % (self.attempts + 0xABC00000) + text[at + 8 :]

    put(work.Batch, "body", renamed)


@mutant("dividing drops the tail", caught_by={"lost", "waiter", "books"}, within=30)
def _no_tail(put: Any) -> None:
    halves = work.Batch.halves

    def short(self: Any) -> tuple[Any, Any]:
        left, right = halves(self)
        if len(right.works) > 1:
            right.works = right.works[:-1]
        return left, right

    put(work.Batch, "halves", short)


# Dispatcher.


@mutant("given up after three tries", caught_by={"lost"}, within=12)
def _three_tries(put: Any) -> None:
    settle = _Dispatcher._settle

    def impatient(self: Any, batch: Any, came: Outcome) -> None:
        if came.verdict is Verdict.RETRY and batch.attempts >= 2:
            self._lanes.settle(batch, 0.0)
            self._settler.dropped(batch.works, ConnectionFailed("enough"))
        else:
            settle(self, batch, came)

    put(_Dispatcher, "_settle", impatient)


@mutant("sent once more after a success", caught_by={"duplicate"}, within=3)
def _once_more(put: Any) -> None:
    attempt = _Dispatcher._attempt

    async def twice(self: Any, batch: Any) -> Outcome:
        came = await attempt(self, batch)
        return await attempt(self, batch) if came.verdict is Verdict.DELIVERED else came

    put(_Dispatcher, "_attempt", twice)


@mutant("an answer without meaning stops the engine", caught_by={"crash"}, within=40)
def _crash(put: Any) -> None:
    def unexpected(status: int, body: bytes, meant: Outcome) -> Outcome:
        if status == 429:
            raise ZeroDivisionError
        return meant

    _classified(put, unexpected)


@mutant("a stopped dispatcher leaves its timer", caught_by={"leak"}, within=80)
def _timer(put: Any) -> None:
    stop = _Dispatcher.stop

    def careless(self: Any) -> Any:
        timer, self._timer = self._timer, None
        left = stop(self)
        self._timer = timer
        return left

    put(_Dispatcher, "stop", careless)


@mutant("a request that failed keeps its slot", caught_by={"leak", "waiter"}, within=12)
def _slot(put: Any) -> None:
    post = transport.Transport.post

    async def greedy(self: Any, *request: Any) -> Any:
        try:
            return await post(self, *request)
        except ConnectionFailed:
            if len(self._slots) > 1:
                self._slots.pop()
            raise

    put(transport.Transport, "post", greedy)


# Callers, room, books.


@mutant("an acknowledgement is lost when its waiter was cancelled", caught_by={"lost"}, within=60)
def _ack_lost(put: Any) -> None:
    resolve = receipts.Receipt.resolve

    def forgetful(self: Any, result: Any) -> None:
        if not any(waiter.cancelled() for waiter in self._waiters or ()):
            resolve(self, result)

    put(receipts.Receipt, "resolve", forgetful)


@mutant("room is granted, and the work is not taken over", caught_by={"lost", "waiter"}, within=30)
def _not_entered(put: Any) -> None:
    begin = room.Room.__init__
    count = Counter[str]()

    def forgetful(self: Any, config: Any, books: Any, enter: Any) -> None:
        def sometimes(key: bytes, receipt: Any) -> None:
            count["granted"] += 1
            if count["granted"] % 10:
                enter(key, receipt)

        begin(self, config, books, sometimes)

    put(room.Room, "__init__", forgetful)


@mutant("a cancelled waiter takes the next one's room along", caught_by={"lost", "waiter"}, within=250)
def _cancelled_ahead(put: Any) -> None:
    grant = room.Room.grant

    def careless(self: Any) -> None:
        if len(self._waiting) > 1 and self._waiting[0][0].cancelled():
            self._waiting.popleft()
            waiter, _, _ = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
        grant(self)

    put(room.Room, "grant", careless)


@mutant("a waiter overtakes those who came before", caught_by={"order"}, within=150)
def _overtaken(put: Any) -> None:
    put(room.Room, "has", lambda self, receipt: self._fits(receipt))


@mutant("a rejected unit counted twice", caught_by={"books"}, within=30)
def _counted_twice(put: Any) -> None:
    settle = Books.settle

    def twice(self: Any, one: Any, fate: Any) -> bool:
        self.fates["rejected"] += fate == "rejected"
        return settle(self, one, fate)

    put(Books, "settle", twice)


@mutant("flush does not wait for what is in the air", caught_by={"waiter"}, within=40)
def _early_flush(put: Any) -> None:
    put(Books, "open_up_to", lambda self, epoch: False)


@mutant("nobody wakes a flush", caught_by={"waiter"}, within=12)
def _sleeping_flush(put: Any) -> None:
    put(_Producer, "_wake_flushes", lambda self: None)


@mutant("aclose has no time-out", caught_by={"waiter"}, within=80)
def _slow_close(put: Any) -> None:
    close = _Producer._close
    put(_Producer, "_close", lambda self, timeout: close(self, None))


# Quota.


@mutant("the limiter runs by the wall clock", caught_by={"waiter", "pace"}, within=300)
def _wall_clock(put: Any) -> None:
    put(pacer, "_now", lambda: clock.wall())


@mutant("a spent quota is not minded", caught_by={"pace"}, within=200)
def _spendthrift(put: Any) -> None:
    put(quota.QuotaWindow, "available", lambda self: 1000.0)
