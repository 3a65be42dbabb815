"""One attempt of one call: address, token, transport, quota headers, meaning. No retries, no waiting.

Must only be called from tasks that the library owns: see `tasks.py`.
"""

from __future__ import annotations

import asyncio
import math
import platform
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, Literal, TypeAlias, TypeVar

from dfinery_async.addresses import Origin
from dfinery_async.config import Family, Token, TokenSource
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.outcome import DELIVERED, Outcome, Verdict, classify, classify_export
from dfinery_async.core.quota_headers import read_retry_after
from dfinery_async.core.reply import Headers, RawHeaders
from dfinery_async.errors import ConfigError, ConnectionFailed, RateLimited
from dfinery_async.runtime import clock
from dfinery_async.runtime.compression import unpacked
from dfinery_async.runtime.pacer import LEAST_PATIENCE, Pacer
from dfinery_async.runtime.transport import (
    LARGEST_REPLY,
    Reply,
    StaleConnection,
    StreamedReply,
    Target,
    Transport,
    fault,
)
from dfinery_async.runtime.wire.route import Route
from dfinery_async.version import __version__

__all__ = ["Gateway"]

_USER_AGENT = f"dfinery-async/{__version__} Python/{platform.python_version()}"
"""The console's log of export calls shows it (user guide, "HTTP API (Export)")."""

_TOO_MANY_REQUESTS = 429
_MOST_SECRETS = 8  # a token lives for two weeks after the next one was made

T = TypeVar("T")
Done: TypeAlias = Callable[[T, Outcome | Exception], None]
"""Hears the outcome of an attempt, or of the defect that kept us from telling it."""


class _Sent(Generic[T]):
    """An attempt that is under way without a task."""

    __slots__ = ("_about", "_done", "_family", "_gateway")

    def __init__(self, gateway: Gateway, family: Family, about: T, done: Done[T]) -> None:
        self._gateway = gateway
        self._family: Family = family
        self._about = about
        self._done = done

    def answered(self, status: int, headers: RawHeaders, body: bytes) -> None:
        outcome: Outcome | Exception
        try:
            outcome = self._gateway.heard(self._family, status, headers, body)
        except Exception as error:  # noqa: BLE001 - whoever waits hears of it, not the event loop
            outcome = error
        self._done(self._about, outcome)

    def failed(self, error: Exception) -> None:
        self._done(self._about, self._gateway.unheard(self._family, fault(error)))


class Gateway:
    """The API's address with the tokens it takes.

    Tokens leave only here: the import token as `access_token`, the export token as Bearer, never the other way round,
    and only to the configured origin (API guide, "Authentication").
    """

    def __init__(
        self,
        transport: Transport,
        pacers: dict[Family, Pacer],
        *,
        origin: Origin,
        service_id: str,
        import_token: TokenSource | None,
        export_token: TokenSource | None,
        concurrent_exports: int,
        patience: float,
    ) -> None:
        self.pacers = pacers
        self._transport = transport
        self.origin = origin
        self.service_id = service_id
        self._tokens: dict[str, TokenSource] = {}
        self._targets: dict[str, tuple[Token, Target]] = {}  # by path, each with the token that it holds
        self._secrets: list[str] = []  # tokens of late, the newest last: a server may repeat them
        self._usual: bytes | None = None  # the body of the last success: most are the same
        if import_token is not None:
            self.set_token("import", import_token)
        if export_token is not None:
            self.set_token("export", export_token)
        self.concurrent_exports = concurrent_exports
        self._exports = asyncio.Semaphore(concurrent_exports)
        self.patience: float = max(patience, LEAST_PATIENCE)  # seconds for which a call waits for the quota

    @property
    def secrets(self) -> Sequence[str]:
        """Tokens of late, which no error may show, whatever an answer repeats."""
        return self._secrets

    def set_token(self, kind: Literal["import", "export"], token: TokenSource) -> None:
        """Use another token from the next request on."""
        if not callable(token):
            token = _token(token, kind)
            self._keep_secret(token.reveal())
        self._tokens[kind] = token

    def require(self, endpoint: Endpoint) -> None:
        """Raise ConfigError when the token for this call is not set."""
        self._token(endpoint)

    async def look(self) -> Route | None:
        """Try the way to the API without sending anything; `None` where our wire has no part in it."""
        return await self._transport.look(self.origin)

    async def send(
        self, endpoint: Endpoint, body: bytes, heard: list[Headers] | None = None, *, within: float = math.inf
    ) -> Outcome:
        """Make one attempt of an import call. Leave must have been taken from the family's pacer.

        Args:
            endpoint: the call.
            body: what it carries.
            heard: takes the headers of the reply, where somebody wants them.
            within: seconds that the attempt may take, where that is less than the time-outs allow.
        """
        try:
            reply = await self._transport.post(self._target(endpoint), body, within)
        except ConnectionFailed as error:
            return self.unheard(endpoint.family, error)
        except BaseException:
            self.pacers[endpoint.family].unanswered()
            raise
        if heard is not None:
            heard.append(reply.headers)
        return self.heard(endpoint.family, reply.status, reply.raw_headers, reply.body)

    def send_soon(self, endpoint: Endpoint, body: bytes, now: float, about: T, done: Done[T]) -> bool:
        """Make one attempt as `send` does, but without a task, if that can begin at once. Returns whether it has.

        Args:
            endpoint: the call.
            body: what it carries.
            now: monotonic time.
            about: whatever `done` wants to know.
            done: is called with it and the outcome, in a later turn of the loop.
        """
        return self._transport.post_soon(self._target(endpoint), body, now, _Sent(self, endpoint.family, about, done))

    def heard(self, family: Family, status: int, headers: RawHeaders, body: bytes) -> Outcome:
        """Say what a reply means, and let the family's pacer learn from it."""
        pacer = self.pacers[family]
        if status == 200 and body == self._usual:
            pacer.observe(headers, throttled=False)
            return DELIVERED
        decoded = Reply(status, headers, body).headers
        retry_after = read_retry_after(decoded, clock.wall())
        outcome = classify(status, unpacked(decoded, body, LARGEST_REPLY), retry_after, secrets=self._secrets)
        if outcome is DELIVERED:
            self._usual = body
        throttled = outcome.verdict is Verdict.THROTTLED
        pacer.observe(headers, throttled=throttled)
        if throttled:
            self.note_throttled(family, outcome.error, outcome.retry_after)
        return outcome

    def failed_export(self, status: int, headers: Headers, body: bytes) -> Outcome:
        """Say what a failed answer of an export call means."""
        retry_after = read_retry_after(headers, clock.wall())
        return classify_export(status, body, retry_after, secrets=self._secrets)

    def unheard(self, family: Family, error: ConnectionFailed) -> Outcome:
        """Say what it means that no reply came."""
        self.pacers[family].unanswered()
        return Outcome(Verdict.RETRY, error, stale=isinstance(error, StaleConnection))

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, body: bytes) -> AsyncGenerator[StreamedReply]:
        """Make one attempt of an export call and give its answer as it arrives.

        Waits for one of the places at once (API guide, "Request Limit": five), and for the hourly quota where it
        opens soon.

        Raises:
            RateLimited: the quota stays closed for longer than a call may take.
            ConnectionFailed: no head of an answer came.
        """
        async with self._exports:
            pacer = self.pacers[endpoint.family]
            await pacer.take(asyncio.get_running_loop().time() + self.patience)
            answered = False
            try:
                async with self._transport.stream(self._target(endpoint), body) as reply:
                    answered = True
                    pacer.observe(reply.headers, throttled=reply.status == _TOO_MANY_REQUESTS)
                    yield reply
            finally:
                if not answered:
                    pacer.unanswered()

    def note_throttled(self, family: Family, error: BaseException | None, retry_after: float | None = None) -> float:
        """Hold a family after a "too many requests". Returns for how many seconds; the error learns the moment."""
        pacer = self.pacers[family]
        wait = pacer.throttled(retry_after)
        if isinstance(error, RateLimited):
            error.reset_at = pacer.reset_at()
        return wait

    def _target(self, endpoint: Endpoint) -> Target:
        """Where a call goes, with the token of this moment."""
        known = self._targets.get(endpoint.path)
        if known is not None and known[0] is self._tokens.get(endpoint.access):
            return known[1]  # not so for a function, which may give another one each time
        token = self._token(endpoint)
        secret = token.reveal()
        if known is not None and known[0].reveal() == secret:
            return known[1]
        self._keep_secret(secret)
        target = Target(
            f"{self.origin}{endpoint.path}?service_id={self.service_id}",
            [
                ("host", self.origin.authority),
                ("user-agent", _USER_AGENT),
                ("accept", "*/*"),
                ("accept-encoding", "identity"),
                ("content-type", "application/json"),
                ("access_token", secret) if endpoint.access == "import" else ("authorization", f"Bearer {secret}"),
            ],
        )
        self._targets[endpoint.path] = token, target
        return target

    def _keep_secret(self, secret: str) -> None:
        if secret not in self._secrets:
            self._secrets = [*self._secrets[1 - _MOST_SECRETS :], secret]

    def _token(self, endpoint: Endpoint) -> Token:
        source = self._tokens.get(endpoint.access)
        if source is None:
            name = f"{endpoint.access}_token"
            raise ConfigError(f"{name} is not set; give it to the client, or set DFINERY_{name.upper()}")
        return _token(source() if callable(source) else source, endpoint.access)


def _token(token: str | Token, kind: str) -> Token:
    return token if isinstance(token, Token) else Token(token, f"{kind}_token")
