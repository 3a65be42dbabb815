"""Defects of the dispatcher, the room, the books and the limiter."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sim_mutant import classified, mutant

from dfinery_async.core import quota
from dfinery_async.core.books import Books
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.errors import ConnectionFailed
from dfinery_async.runtime import accounts, clock, dispatcher, gateway, pacer, producer, receipts, room, transport

__all__: list[str] = []

_Dispatcher, _Producer = dispatcher.Dispatcher, producer.Producer


# Dispatcher.


@mutant("given up after three tries", caught_by={"lost"}, within=12)
def _three_tries(put: Any) -> None:
    settle = _Dispatcher._settle

    def impatient(self: Any, batch: Any, came: Outcome, now: float) -> None:
        if came.verdict is Verdict.RETRY and batch.attempts >= 2:
            self._lanes.settle(batch, 0.0)
            self._settler.dropped(batch.works, ConnectionFailed("enough"))
        else:
            settle(self, batch, came, now)

    put(_Dispatcher, "_settle", impatient)


@mutant("sent once more after a success", caught_by={"duplicate"}, within=3)
def _once_more(put: Any) -> None:
    send = gateway.Gateway.send

    async def twice(self: Any, endpoint: Any, body: bytes) -> Outcome:
        came = await send(self, endpoint, body)
        return await send(self, endpoint, body) if came.verdict is Verdict.DELIVERED else came

    put(gateway.Gateway, "send", twice)


@mutant("an answer without meaning stops the engine", caught_by={"crash"}, within=40)
def _crash(put: Any) -> None:
    def unexpected(status: int, body: bytes, meant: Outcome) -> Outcome:
        if status == 429:
            raise ZeroDivisionError
        return meant

    classified(put, unexpected)


@mutant("requests in the air at the close are not counted", caught_by={"books"}, within=40)
def _uncounted(put: Any) -> None:
    stop = _Dispatcher.stop

    def forgetful(self: Any) -> Any:
        self._books.requests -= self.in_flight
        return stop(self)

    put(_Dispatcher, "stop", forgetful)


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
            if len(self._shards._places) > 1:
                self._shards._places.pop()
            raise

    put(transport.Transport, "post", greedy)


# Callers, room, books.


@mutant("an acknowledgement is lost when its waiter was cancelled", caught_by={"lost"}, within=60)
def _ack_lost(put: Any) -> None:
    resolve = receipts.Receipt.resolve

    def forgetful(works: Any, result: Any) -> None:
        resolve([one for one in works if not any(waiter.cancelled() for waiter in one._waiters or ())], result)

    put(receipts.Receipt, "resolve", staticmethod(forgetful))


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
    put(room.Room, "has", lambda self, receipt: self._books.has_room(receipt, self._config))


@mutant("a rejected unit counted twice", caught_by={"books"}, within=30)
def _counted_twice(put: Any) -> None:
    settle = Books.settle

    def twice(self: Any, works: Any, fate: Any) -> bool:
        self.fates["rejected"] += fate == "rejected"
        return settle(self, works, fate)

    put(Books, "settle", twice)


@mutant("flush does not wait for what is in the air", caught_by={"waiter"}, within=40)
def _early_flush(put: Any) -> None:
    put(Books, "open_up_to", lambda self, epoch: False)


@mutant("nobody wakes a flush", caught_by={"waiter"}, within=12)
def _sleeping_flush(put: Any) -> None:
    put(accounts.Accounts, "_wake", lambda self: None)


@mutant("aclose has no time-out", caught_by={"waiter"}, within=80)
def _slow_close(put: Any) -> None:
    close = _Producer._close
    put(_Producer, "_close", lambda self, timeout: close(self, None))


# Quota.


@mutant("the limiter runs by the wall clock", caught_by={"waiter", "pace"}, within=300)
def _wall_clock(put: Any) -> None:
    draw = pacer.Pacer._draw

    def by_the_wall(self: Any) -> None:
        draw(self)
        self._time = lambda: clock.wall() + 0.0

    put(pacer.Pacer, "_draw", by_the_wall)


@mutant("a spent quota is not minded", caught_by={"pace"}, within=200)
def _spendthrift(put: Any) -> None:
    put(quota.QuotaWindow, "available", lambda self: 1000.0)
