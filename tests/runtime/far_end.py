"""The far end of the wire for tests: virtual time, and an API that a test scripts."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import httpcore
import httpx
import pytest

from dfinery_async import DfineryClient, Event, Stats
from dfinery_async.emulator import Emulator

T = TypeVar("T")

IMPORT_TOKEN = "import-token-CANARY"
EXPORT_TOKEN = "export-token-CANARY"


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("deadlock: everybody waits, and nothing is scheduled")
            self.loop.now += max(timeout, self.loop.tick)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer as soon as nothing else is left to do."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self
        self.now = 0.0
        self.tick = 1e-6  # with no tick at all aiolimiter spins: rounding leaves a waiter due "now"
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.now


def virtually(scenario: Coroutine[Any, Any, T], loop_factory: Callable[[], VirtualLoop] = VirtualLoop) -> T:
    """Run a scenario in virtual time."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(scenario)


def ok(**headers: str) -> httpx.Response:
    return httpx.Response(200, headers=headers, json={"status": True, "code": "20000", "message": "OK", "data": True})


def failed(code: int | str, status: int = 200, message: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={"status": False, "code": code, "message": message})


def numbered(number: int, **arguments: Any) -> Event:
    return Event("e", properties={"n": number}, **arguments)


def balanced(stats: Stats) -> bool:
    return stats.accepted == stats.delivered + stats.rejected + stats.dropped + stats.spooled + stats.pending


class Call:
    """One request as the API saw it."""

    def __init__(self, request: httpx.Request) -> None:
        self.path = request.url.path
        self.headers = request.headers
        self.raw = request.content
        self.body: dict[str, Any] = json.loads(request.content)
        self.at = asyncio.get_running_loop().time()
        self.identity: dict[str, str] = self.body.get("identity") or self.body["common"]["identity"]
        self.user = json.dumps(self.identity, sort_keys=True)
        self.events: list[dict[str, Any]] = self.body.get("events", [])
        self.numbers: list[int] = [
            event["event_properties"].get("n") for event in self.events if event["event_properties"]
        ]


Answer = httpx.Response | Exception | None


def refuses(*numbers: int) -> Callable[[Call], Answer]:
    """An API that refuses each request with one of these events."""
    return lambda call: failed(40001, message="VALIDATION_FAILURE") if set(call.numbers) & set(numbers) else None


class FarEnd(httpx.AsyncBaseTransport):
    """An API whose answers a test scripts, and which checks what every request must hold.

    Args:
        answer: gives the answer to a call; `None` or nothing at all is a success.
        latency: seconds until it answers.
    """

    def __init__(self, answer: Callable[[Call], Answer] | None = None, *, latency: float = 0.05) -> None:
        self.answer = answer
        self.latency = latency
        self.calls: list[Call] = []
        self.in_air: Counter[str] = Counter()
        self.most_in_air = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = Call(request)
        self.calls.append(call)
        self.in_air[call.user] += 1
        self.most_in_air = max(self.most_in_air, self.in_air.total())
        assert self.in_air[call.user] == 1, "two requests of one user in the air"
        assert len(call.events) <= 100
        assert sum(len(event["event_items"] or ()) for event in call.events) <= 100
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.in_air[call.user] -= 1
        answer = self.answer(call) if self.answer is not None else None
        if isinstance(answer, Exception):
            raise answer
        return answer or ok()

    def applied(self) -> Iterator[tuple[str, int]]:
        """User and number of each event that arrived, in order."""
        for call in self.calls:
            for number in call.numbers:
                yield call.user, number


def go_by_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests take the way of httpx's own pools, as they do while a mock or a tracer has patched them."""
    handle = httpcore.AsyncConnectionPool.handle_async_request

    async def traced(self: httpcore.AsyncConnectionPool, request: httpcore.Request) -> httpcore.Response:
        return await handle(self, request)

    monkeypatch.setattr(httpcore.AsyncConnectionPool, "handle_async_request", traced)


def acquainted(client: DfineryClient) -> None:
    """Make a client go on as after its first answer, before which its calls go one by one."""
    for pacer in client._gateway.pacers.values():
        pacer._heard = True


def client_of(far_end: httpx.AsyncBaseTransport, **settings: Any) -> DfineryClient:
    return DfineryClient("svc", import_token=IMPORT_TOKEN, export_token=EXPORT_TOKEN, transport=far_end, **settings)


def client_at(emulator: Emulator, **settings: Any) -> DfineryClient:
    """A client of a running emulator."""
    return DfineryClient(
        emulator.service_id,
        import_token=emulator.import_token,
        export_token=emulator.export_token,
        base_url=emulator.base_url,
        **settings,
    )
