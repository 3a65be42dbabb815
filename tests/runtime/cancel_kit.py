"""Cancelling a call at each point at which it can be suspended, and a look at what that leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import httpx
from far_end import FarEnd, VirtualLoop, acquainted, balanced, client_of, numbered

from dfinery_async import ClientClosed, ConnectionConfig, DfineryError, Receipt
from dfinery_async.config import FAMILIES

T = TypeVar("T")

IN_TIME = 1.0  # within which a cancelled call must come back, in seconds of the loop
CSV = [b"df_event_name,df_order_id\n", *(b"df_purchase,%08d\n" % number for number in range(4))]


class At(Coroutine[Any, Any, T]):
    """A coroutine that tells when it is suspended for the `point`-th time.

    Args:
        work: what is run.
        point: which suspension, counted from 1.
        fire: called once.
        woken: `False` calls it while the coroutine waits; `True` when what it waits for has come, and before it hears
            of it: a cancellation then meets a result that is there already.
    """

    def __init__(self, work: Coroutine[Any, Any, T], point: int, fire: Callable[[], object], *, woken: bool) -> None:
        self._work = work
        self._point = point
        self._fire = fire
        self._woken = woken
        self._suspensions = 0
        self.fired_at: float | None = None

    def send(self, value: Any) -> Any:
        return self._note(self._work.send(value))

    def throw(self, *error: Any) -> Any:
        return self._note(self._work.throw(*error))

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            waits_for = self.send(None)
            while True:
                try:
                    value = yield waits_for
                except BaseException as error:  # noqa: BLE001 - handed on to where it belongs
                    waits_for = self.throw(error)
                else:
                    waits_for = self.send(value)
        except StopIteration as end:
            result: T = end.value
            return result

    def _note(self, waits_for: Any) -> Any:
        self._suspensions += 1
        if self._suspensions == self._point:
            if self._woken and isinstance(waits_for, asyncio.Future):
                waits_for.add_done_callback(self._now)
            else:
                asyncio.get_running_loop().call_soon(self._now)
        return waits_for

    def _now(self, *_: Any) -> None:
        self.fired_at = asyncio.get_running_loop().time()
        self._fire()


Watched = At[Any]


async def _by_task(work: Coroutine[Any, Any, Any], point: int, *, woken: bool, again: bool = False) -> Watched:
    def fire() -> None:
        task.cancel()
        if again:  # as soon as it has begun to clean up
            asyncio.get_running_loop().call_soon(task.cancel)

    watched = At(work, point, fire, woken=woken)
    task = asyncio.get_running_loop().create_task(watched)
    await asyncio.wait({task})
    _look(task)
    return watched


async def _by_scope(work: Coroutine[Any, Any, Any], point: int) -> Watched:
    scope = anyio.CancelScope()
    watched = At(work, point, scope.cancel, woken=False)
    with suppress(DfineryError), scope:
        await watched
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    return watched


async def _by_timeout(work: Coroutine[Any, Any, Any], point: int) -> Watched:
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    watched = At(work, point, lambda: limit.reschedule(loop.time()), woken=False)
    with suppress(TimeoutError, DfineryError):
        async with limit:
            await watched
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    return watched


def _look(task: asyncio.Task[Any]) -> None:
    """A call ends cancelled, well, or with an error of ours; nothing else."""
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, DfineryError):
        raise error


Way = Callable[[Coroutine[Any, Any, Any], int], Awaitable[Watched]]

WAYS: dict[str, Way] = {
    "task": lambda work, point: _by_task(work, point, woken=False),
    "task, its result being there": lambda work, point: _by_task(work, point, woken=True),
    "task, twice": lambda work, point: _by_task(work, point, woken=False, again=True),
    "anyio scope": _by_scope,
    "asyncio.timeout": _by_timeout,
}


class BenchLoop(VirtualLoop):
    """Virtual time in which a thread's work takes ten milliseconds; what goes wrong unheard is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.unheard: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.unheard.append(context))

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()

        def run() -> None:
            if not future.done():
                future.set_result(func(*args))

        self.call_later(0.01, run)
        return future

    def timers(self) -> list[asyncio.TimerHandle]:
        """Those that still wait for their time."""
        scheduled: list[asyncio.TimerHandle] = getattr(self, "_scheduled")  # noqa: B009 - private to the type checker
        return [timer for timer in scheduled if not timer.cancelled()]


def on_bench(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario in virtual time, and see that nothing went wrong unheard."""
    with asyncio.Runner(loop_factory=BenchLoop) as runner:
        result = runner.run(scenario)
        loop = runner.get_loop()
        assert isinstance(loop, BenchLoop)
        assert loop.unheard == []
    return result


class _Rows(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in CSV:
            await asyncio.sleep(2.0)  # longer than a cancelled call may take
            yield piece


class ExportingFarEnd(FarEnd):
    """A far end that also exports, and notes the requests that were cut.

    Attributes:
        cut: import requests whose task was cancelled natively while they were on the wire: httpx's pool loses slots so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cut = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/export/" in request.url.path:
            await asyncio.sleep(2.0)
            return httpx.Response(200, headers={"transfer-encoding": "chunked"}, stream=_Rows())
        try:
            return await super().handle_async_request(request)
        except asyncio.CancelledError:
            self.cut += 1
            raise


class World:
    """A client in one of four states, with a producer, and all that a test hands over to it.

    Args:
        state: "cold": nothing was sent yet. "warm": every kind of call was made before. "limited": the quota is closed
            for two seconds. "full": the producer has no room, and all connections are taken.
    """

    def __init__(self, state: str, **options: Any) -> None:
        self.far_end = ExportingFarEnd()
        self.client = client_of(self.far_end, connections=ConnectionConfig(max_connections=2))
        self.producer = self.client.producer(max_pending_events=2 if state == "full" else 1000, **options)
        self.receipts: dict[int, Receipt] = {}
        self.state = state
        self._others: list[asyncio.Task[None]] = []
        self._number = 0

    async def prepare(self) -> None:
        client = self.client
        match self.state:
            case "warm":
                await client.send_events("warm", "e")
                await client.upsert_identity("warm")
                await client.update_profile("warm", {"a": 1})
            case "limited":
                for family in FAMILIES:
                    pacer = client._gateway.pacers[family]
                    pacer.window.throttled(asyncio.get_running_loop().time(), 2.0)
                    pacer.observe([], throttled=True)
            case "full":
                acquainted(client)
                for user in ("other", "another"):
                    await self.track(user)
                    self._others.append(asyncio.create_task(client.send_events(f"{user} direct", "e")))
                await asyncio.sleep(0.001)
                assert self.far_end.most_in_air == 2

    async def track(self, user: str) -> Receipt:
        number = self._number = self._number + 1
        receipt = await self.producer.track(user, numbered(number))
        self.receipts[number] = receipt
        return receipt

    async def inspect(self, closed: str = "") -> None:
        """See that nothing is lost, that the client goes on to work, and that nothing is left of it in the end.

        Args:
            closed: what the call may have closed: "producer", or "client", which closes its producer too.
        """
        far_end, client, producer = self.far_end, self.client, self.producer
        assert balanced(producer.stats())
        if "client" not in closed:
            await asyncio.gather(*self._others)
        with suppress(*[ClientClosed] * ("client" in closed)):
            await client.send_events("afterwards", "e")
            assert client._gateway._exports._value == 5, "an export keeps its place"
        with suppress(*[ClientClosed] * bool(closed)):
            receipt = await producer.track("afterwards, too", "e")
            assert (await receipt).status == "delivered"
        if "client" not in closed:
            assert far_end.cut == 0, "a request on the wire was cut"
        books = await producer.aclose()
        assert balanced(books)
        assert books.pending == 0, "the books end with work that is pending"
        arrived = {number for _, number in far_end.applied()}
        for number, receipt in self.receipts.items():
            assert receipt.done(), "a receipt is never settled"
            try:
                await receipt
            except DfineryError:
                assert producer.stats().dropped > 0
            else:
                assert number in arrived, "what counts as delivered never arrived"
        await client.aclose()
        await asyncio.gather(*self._others, return_exceptions=True)
        self.nothing_left()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left"
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BenchLoop)
        assert loop.timers() == [], "a timer is left"

    def nothing_left(self) -> None:
        transport = self.client._transport
        assert transport.taken == 0, "a slot of the transport is lost"
        assert len(self.client._tasks) == 0, "a task is left"
        assert transport.waiting == 0, "somebody waits for a slot for ever"
