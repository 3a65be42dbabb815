"""The parts of an export, each the answer of one call, fetched in order and again when they fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from dfinery_async.config import RetryConfig
from dfinery_async.core.csv_rows import Header, read_header
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.export_plan import ExportCall
from dfinery_async.core.retry import backoff
from dfinery_async.errors import (
    ApiError,
    ConnectionFailed,
    DfineryError,
    ExportInterrupted,
    RateLimited,
    UnexpectedResponse,
)
from dfinery_async.runtime.export_progress import Tally
from dfinery_async.runtime.export_stream import ExportSource, ExportStream
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Answer", "Part", "Parts"]

T = TypeVar("T")

_OK = 200
_PARTIAL = 206
_MOST_ATTEMPTS = 3
_LARGEST_FAILURE = 1024 * 1024
_NO_CSV = {b"{", b"<"}  # how a failure of the API's begins, and a page from something in between
_BLANK = b"\xef\xbb\xbf \t\r\n"  # a byte order mark, and blanks


class Answer(Protocol):
    """A whole CSV: on the wire, or kept aside."""

    @property
    def header(self) -> Header:
        """The first record."""
        ...

    @property
    def complete(self) -> bool:
        """Once `take()` has returned nothing: whether it is proven that nothing is missing."""
        ...

    async def take(self) -> bytes:
        """Return more of what follows the header, nothing at the end."""
        ...


class Part:
    """An answer whose header has been read.

    Attributes:
        header: the first record.
    """

    def __init__(self, stream: ExportStream, header: Header, rest: bytes, tally: Tally) -> None:
        self.header: Header = header
        self._stream = stream
        self._rest = rest
        self._tally = tally

    @property
    def complete(self) -> bool:
        """Once `take()` has returned nothing: whether the framing proves that nothing is missing."""
        return self._stream.complete

    async def take(self) -> bytes:
        """Return what has arrived of what follows the header, nothing at the end.

        Raises:
            ExportInterrupted: the answer broke off.
        """
        data, self._rest = self._rest, b""
        data = data or await _take(self._stream)
        self._tally.received(len(data))
        return data


class Parts:
    """Opens one part after the other. One is open at a time, and stays so until `close()` or `failed()`.

    A part is tried three times in all. Answers that say "too many requests" don't count: they are waited for as long
    as the waits of one part stay within the retry's total.

    Args:
        source: where exports come from; it waits for the quota.
        endpoint: which call.
        calls: one for each part.
        tasks: owner of the tasks that read answers.
        retry: waits between attempts.
        random: uniform in [0, 1), for jitter.
        sleep: waits for some seconds.

    Attributes:
        calls: of the parts.
        tally: of what arrives.
    """

    def __init__(
        self,
        source: ExportSource,
        endpoint: Endpoint,
        calls: Sequence[ExportCall],
        *,
        tasks: TaskOwner,
        retry: RetryConfig,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._source = source
        self._endpoint = endpoint
        self.calls: tuple[ExportCall, ...] = tuple(calls)
        self._tasks = tasks
        self._retry = retry
        self._random = random
        self._sleep = sleep
        self.tally: Tally = Tally(len(calls))
        self._stream: ExportStream | None = None
        self._part: Part | None = None
        self._index = -1
        self._failures = 0
        self._throttles = 0
        self._held = 0.0
        self._said: DfineryError | None = None  # what the last request came to
        self._retry_after: float | None = None  # for how long its answer asked to be left alone

    def __len__(self) -> int:
        return len(self.calls)

    @property
    def secrets(self) -> Sequence[str]:
        """What no error may show, whatever an answer repeats."""
        return self._source.secrets

    def one(self, index: int) -> Parts:
        """Return a part of this alone, for use beside others."""
        alone = Parts(
            self._source,
            self._endpoint,
            self.calls[index : index + 1],
            tasks=self._tasks,
            retry=self._retry,
            random=self._random,
            sleep=self._sleep,
        )
        alone.tally = self.tally
        return alone

    async def whole(self, index: int, use: Callable[[Answer], Awaitable[T]]) -> T:
        """Fetch a part and hand it to `use`, until that has read all of it; it has to begin anew each time.

        Raises:
            DfineryError: it was fetched three times, or the error is final.
        """
        while True:
            part = await self.open(index)
            try:
                return await use(part)
            except DfineryError as error:
                await self.failed(error)
            finally:
                await self.close()

    async def open(self, index: int) -> Part:
        """Return a part with its header read: the one that is open, or else the one at `index`, fetched.

        Raises:
            ApiError: the API refused.
            ConnectionFailed: no answer came.
        """
        if self._index != index:
            await self.close()
            self._index = index
            self._failures = self._throttles = 0
            self._held = 0.0
            self._said = None
        while self._part is None:
            try:
                self._part = await self._begin(self.calls[index].body)
            except DfineryError as error:
                await self.failed(error)
            except BaseException:
                await self.close()
                raise
        return self._part

    async def failed(self, error: DfineryError) -> None:
        """Close the part that is open, and wait until it may be fetched again.

        Raises:
            DfineryError: the error itself, when it is final.
        """
        await self.close()
        if isinstance(error, RateLimited) and not error.attempts:
            # No request was made, as the quota stays closed: what the API said last says more than that.
            raise error if self._said is None else self._said
        self._said = error
        if isinstance(error, RateLimited):
            self._throttles += 1
            hold = self._source.note_throttled(self._endpoint.family, error, self._retry_after)
            # Opening waits for the quota by itself. Even a hold of nothing counts a little, or it would go on for ever.
            self._held += max(hold, self._retry.base)
            again = self._held <= self._retry.total
        else:
            self._failures += 1
            again = error.retryable and self._failures < _MOST_ATTEMPTS
        if isinstance(error, ApiError | ConnectionFailed | UnexpectedResponse):
            error.attempts = self._failures + self._throttles
        if not again:
            raise error
        if not isinstance(error, RateLimited):
            await self._sleep(backoff(self._retry, self._failures, self._random()))

    async def close(self) -> None:
        """Close what is open and free its place. Cancelling the wait changes nothing: it is closed all the same."""
        stream, self._stream, self._part = self._stream, None, None
        if stream is not None:
            await stream.aclose()

    async def _begin(self, body: bytes) -> Part:
        """Make a call and read its answer's header."""
        stream = self._stream = ExportStream(self._source, self._endpoint, body, self._tasks)
        status = await stream.head()
        good = 200 <= status <= 299 and status != _PARTIAL
        data = b""
        while True:
            more = await _take(stream) if good else b""
            data += more
            begin = data.lstrip(_BLANK)[:1]
            if not good or begin in _NO_CSV:
                raise await self._failure(stream, status, data)
            if not (more or stream.complete):
                raise ExportInterrupted("the answer broke off in its header", status=status)
            if more and not begin:
                continue  # blanks so far: what they begin is not known yet
            header = read_header(data, ended=not more, secrets=self.secrets)
            if header is not None:
                self.tally.received(len(header.raw))
                return Part(stream, header, data[len(header.raw) :], self.tally)

    async def _failure(self, stream: ExportStream, status: int, data: bytes) -> DfineryError:
        """Say what an answer means that is no CSV. What can't be read of it is done without."""
        broken: ConnectionFailed | None = None
        try:
            while len(data) < _LARGEST_FAILURE and (more := await stream.take()):
                data += more
        except ConnectionFailed as error:
            broken = error
        outcome = self._source.failed_export(status, stream.headers, data[:_LARGEST_FAILURE].lstrip(_BLANK))
        self._retry_after = outcome.retry_after
        if broken is not None and isinstance(outcome.error, UnexpectedResponse):
            return ExportInterrupted(f"the answer broke off: {broken}", status=status)
        return outcome.error or ExportInterrupted("no failure", status=status)


async def _take(stream: ExportStream) -> bytes:
    try:
        return await stream.take()
    except ConnectionFailed as error:
        raise ExportInterrupted(f"the answer broke off: {error}", status=_OK) from error
