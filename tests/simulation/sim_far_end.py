"""A model of the API for simulations: it processes, refuses, loses, delays and forgets as its weather says."""

from __future__ import annotations

import asyncio
import email.utils
import zlib
from collections.abc import Callable
from random import Random

import httpx
from sim_ledger import EVENT, IDENTITY, Attempt, End, Ledger
from sim_plan import Plan, Weather, make_weather

__all__ = ["EPOCH", "FarEnd"]

EPOCH = 1_790_000_000.0  # the far end's wall clock at the beginning
_FAMILIES = {"/api/v1/events": 0, "/api/v1/user-profile": 1, "/api/v1/identities": 2}
_CALM_QUOTA = 1_000_000
_ROUNDING = 1e-6  # seconds; of wall clocks
_LONGEST_SILENCE = 150.0  # a window and a probe, each of a minute, and half a minute of backoff


def _reply(status: int, body: bytes) -> httpx.Response:
    return httpx.Response(status, content=body)


def _envelope(code: int, *, status: bool = False) -> bytes:
    return b'{"status":%b,"code":"%d","message":"M","data":null}' % (b"true" if status else b"false", code)


# One answer serves for all requests: nobody changes it, and making one costs as much as the rest of the far end.
_FINE = _reply(200, _envelope(20000, status=True))
_CODES = {code: _reply(200, _envelope(code)) for code in (40000, 40001, 40101, 40201, 40401, 40402, 40403, 50000)}
_TROUBLE = [
    _reply(500, _envelope(50000)),
    _reply(500, b""),
    _reply(502, b"<html>bad gateway</html>"),
    _reply(503, b""),
    _reply(504, b"upstream timed out"),
    httpx.Response(503, headers={"retry-after": "2"}),
]
_UNREADABLE = [
    _reply(200, b""),
    _reply(200, b"null"),
    _reply(200, b"[]"),
    _reply(200, b'"OK"'),
    _reply(200, b"<html>log in</html>"),
    _reply(200, b'{"status":true,"code":"2000'),
    _reply(200, b'{"status":"true","code":"20000"}'),
    _reply(200, _envelope(20000)),
    _reply(200, _envelope(20001, status=True)),
    _reply(200, b"\xff\xfe"),
    _reply(201, b""),
    _reply(204, b""),
]
_LOST: list[Callable[[str], Exception]] = [
    lambda _: httpx.RemoteProtocolError("Server disconnected without sending a response."),
    httpx.ReadError,
    httpx.WriteError,
    httpx.RemoteProtocolError,
    httpx.ReadTimeout,
    httpx.ConnectError,
    ConnectionResetError,
]
_NOT_SENT: list[Callable[[str], Exception]] = [httpx.ConnectError, httpx.ConnectTimeout]


class _Quota:
    """A window of fixed length, whose limit is drawn anew now and then."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self.used = 0
        self.number = -1

    def count(self, now: float) -> bool:
        """Count a call; whether it is within the quota."""
        number = int(now / self.period)
        if number != self.number:
            self.number, self.used = number, 0
        self.used += 1
        return self.used <= self.limit

    def ends(self) -> float:
        return (self.number + 1) * self.period


class FarEnd(httpx.AsyncBaseTransport):
    """The API.

    Args:
        plan: what the seed stands for.
        ledger: learns what really happens.
        watch: called when a request arrives, for whoever samples.
    """

    def __init__(self, plan: Plan, ledger: Ledger, watch: Callable[[], None]) -> None:
        self.chance = Random(f"far end {plan.seed}")
        self.calm = False
        self.requests = 0
        self.trace = 0
        self.quiet_at = 0.0  # when nothing is left that we gave up
        self._plan = plan
        self._ledger = ledger
        self._watch = watch
        self._cap = plan.cap
        self._weather = Weather(until=self.chance.uniform(0.0, 5.0))
        self._quotas = [self._draw_quota() for _ in _FAMILIES]
        self._spent_until = [0.0 for _ in _FAMILIES]  # when the window ends that a dated answer has called spent
        self._loop = asyncio.get_running_loop()
        self._heard()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        self._watch()
        now = self._loop.time()
        body = request.content
        path = request.url.raw_path.partition(b"?")[0].decode()
        attempt = self._ledger.read(path, body)
        if attempt is None:
            return _CODES[40000]
        self._ledger.departs(attempt)
        self._check_silence(attempt, now)
        if now < self._spent_until[_FAMILIES[path]] - _ROUNDING:
            self._ledger.breaks("pace", f"a call to {path}, though its quota was said to be spent")
        weather = self._forecast(now)
        fate = "fine" if self.calm else weather.fate(self.chance.random())
        if weather.outage and not self.calm:
            fate = "outage"
        self._ledger.seen[fate] += 1
        self.trace = zlib.crc32(body, zlib.crc32(f"{now!r} {fate}".encode(), self.trace))
        end = End.DOUBT
        try:
            response, end = await self._serve(attempt, path, fate, weather)
        except asyncio.CancelledError:  # we were given up, whatever came of it
            self._ledger.doubtful.update(attempt.units)
            raise
        finally:
            self._ledger.returns(attempt, end)
            self._heard()
        if "date" in response.headers:
            self._tell(path, response)
        return response

    def _check_silence(self, attempt: Attempt, now: float) -> None:
        """Whatever the client waits for, a window, a probe or a backoff: it ends."""
        silent = now - self._heard_at
        if silent > _LONGEST_SILENCE and attempt.units and attempt.units[0] < self._handed_in:
            self._ledger.breaks("waiter", f"silent for {silent:.0f} s, though unit {attempt.units[0]} waited")
        self._heard()

    def _heard(self) -> None:
        self._heard_at = self._loop.time()
        self._handed_in = len(self._ledger.receipts)

    async def _serve(self, attempt: Attempt, path: str, fate: str, weather: Weather) -> tuple[httpx.Response, End]:
        chance = self.chance
        low, high = weather.latency
        delay = 0.02 if self.calm else low if low == high else chance.uniform(low, high)
        match fate:
            case "fine":
                await asyncio.sleep(delay)
            case "late":
                delay = self._plan.attempt_timeout * chance.uniform(0.5, 1.1)
                if chance.random() < 0.5:  # processed early, answered late
                    await asyncio.sleep(0.01)
                    response, end = self._process(attempt, path, doubtful=False)
                    await asyncio.sleep(delay)
                    return response, end
                await asyncio.sleep(delay)
            case "outage" | "lost_before":
                await asyncio.sleep(delay * chance.random())
                raise chance.choice(_NOT_SENT if fate == "outage" else _LOST)("made up")
            case "pool":
                raise httpx.PoolTimeout("made up")
            case "hang_before" | "hang_after" | "zombie":
                return await self._hang(attempt, path, fate)
            case "throttled":
                await asyncio.sleep(delay)
                return self._throttled(path), End.HELD
            case _:
                await asyncio.sleep(delay)
                what, _, when = fate.partition("_")
                if when == "after":
                    refusal = self._process(attempt, path, doubtful=True)
                    if refusal[1] is not End.DONE:
                        return refusal
                if what == "lost":
                    raise chance.choice(_LOST)("made up")
                answers = {"5xx": _TROUBLE, "50000": [_CODES[50000]], "unreadable": _UNREADABLE}[what]
                return chance.choice(answers), End.DOUBT
        return self._process(attempt, path, doubtful=False)

    async def _hang(self, attempt: Attempt, path: str, fate: str) -> tuple[httpx.Response, End]:
        """Never answer. What was sent may have been processed, or will be when we have given it up."""
        if fate == "hang_after":
            await asyncio.sleep(0.01)
            self._process(attempt, path, doubtful=True)
        elif fate == "zombie":
            late = self._plan.attempt_timeout * self.chance.uniform(0.5, 3.0)
            self.quiet_at = max(self.quiet_at, self._loop.time() + late)
            self._loop.call_later(late, self._rise, attempt, path)
        await asyncio.sleep(10 * self._plan.attempt_timeout)
        self._ledger.breaks("waiter", "an attempt went on far beyond its deadline")
        return _CODES[50000], End.DOUBT

    def _rise(self, attempt: Attempt, path: str) -> None:
        if not self._refusal(attempt, path):
            self._ledger.apply(attempt, doubtful=True, given_up=True)

    def _process(self, attempt: Attempt, path: str, *, doubtful: bool) -> tuple[httpx.Response, End]:
        refusal = self._weather.refusal
        if refusal is not None and not self.calm:
            status, code = refusal
            self._ledger.seen[f"all refused with {status} {code}"] += 1
            if status == 200:
                return _CODES[code], End.HELD
            return httpx.Response(status, content=_envelope(code) if code else b""), End.HELD
        quota = self._quotas[_FAMILIES[path]]
        if not quota.count(self._loop.time()):
            self._ledger.seen["quota spent"] += 1
            return self._throttled(path), End.HELD
        code = self._refusal(attempt, path)
        if code:
            return (_reply(413, b"") if code == 413 else _CODES[code]), End.REFUSED
        self._ledger.apply(attempt, doubtful=doubtful)
        if self._plan.quota and self._plan.headers != "none":
            return self._with_quota(path, 200, _FINE.content, self._headers(path)), End.DONE
        return _FINE, End.DONE

    def _refusal(self, attempt: Attempt, path: str) -> int:
        ledger, units = self._ledger, attempt.units
        if attempt.kind == EVENT and len(units) > self._cap:
            return 40402 if self._plan.seed % 3 else 413
        if attempt.kind == IDENTITY:
            return 40001 if attempt.user.refused else 0
        return 40001 if ledger.poison and not ledger.poison.isdisjoint(units) else 0

    def _throttled(self, path: str) -> httpx.Response:
        chance = self.chance
        headers = self._headers(path) if chance.random() < 0.7 else {}
        if chance.random() < 0.2:
            headers["retry-after"] = chance.choice(("1", "5", "0", "soon", email.utils.formatdate(EPOCH, usegmt=True)))
        if chance.random() < 0.5:
            return self._with_quota(path, 200, _envelope(40401), headers)
        return self._with_quota(path, 429, _envelope(40401) if chance.random() < 0.5 else b"", headers)

    def _with_quota(self, path: str, status: int, body: bytes, headers: dict[str, str]) -> httpx.Response:
        ends = self._quotas[_FAMILIES[path]].ends()
        return httpx.Response(status, headers=headers, content=body, extensions={"ends": ends})

    def _headers(self, path: str) -> dict[str, str]:
        form = self._plan.headers
        if form == "none":
            return {}
        quota = self._quotas[_FAMILIES[path]]
        wall = EPOCH + self._loop.time()
        reset = EPOCH + quota.ends()
        headers = {
            "x-ratelimit-limit": f"{int(quota.period)}s",
            "x-ratelimit-remaining": str(max(0, quota.limit - quota.used)),
            "x-ratelimit-reset": str(int(reset * 1000)) if form == "milliseconds" else str(int(reset) + 1),
        }
        if form != "undated":
            headers["date"] = email.utils.formatdate(wall, usegmt=True)
        return headers

    def _tell(self, path: str, response: httpx.Response) -> None:
        """Note until when the client must be silent, by what it is told now.

        Requests that wait for a connection have had their leave: where there may be any, or where the quota changes,
        nothing is said.
        """
        family, plan = _FAMILIES[path], self._plan
        if response.headers["x-ratelimit-remaining"] == "0" and not (plan.quota_changes or plan.crowded):
            self._spent_until[family] = max(self._spent_until[family], response.extensions["ends"])

    def _forecast(self, now: float) -> Weather:
        weather = self._weather
        if now >= weather.until and not self.calm:
            weather = self._weather = make_weather(self._plan, self.chance, now)
            if self._plan.cap_changes:
                self._cap = self.chance.choice((100, 60, 20, 5))
            if self._plan.quota and self._plan.quota_changes and self.chance.random() < 0.3:
                self._quotas = [self._draw_quota() for _ in _FAMILIES]
        return weather

    def _draw_quota(self) -> _Quota:
        if not self._plan.quota:
            return _Quota(_CALM_QUOTA, 60.0)
        return _Quota(*self.chance.choice(((3, 1.0), (20, 1.0), (20, 10.0), (200, 10.0), (200, 60.0), (1000, 60.0))))

    def settle(self) -> None:
        """From now on nothing goes wrong any more."""
        self.calm = True
        self._quotas = [_Quota(_CALM_QUOTA, 60.0) for _ in _FAMILIES]
        self._spent_until = [0.0 for _ in _FAMILIES]
