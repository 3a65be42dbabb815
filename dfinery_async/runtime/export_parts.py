"""The parts of an export, each the answer of one call, fetched in order and again when they fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from dfinery_async.config import RetryConfig
from dfinery_async.core.csv_rows import Header, read_header
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.outcome import classify_export
from dfinery_async.core.retry import backoff
from dfinery_async.errors import (
    ApiError,
    ConnectionFailed,
    DfineryError,
    ExportInterrupted,
    RateLimited,
    UnexpectedResponse,
)
from dfinery_async.runtime.export_stream import ExportSource, ExportStream
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Part", "Parts"]

_OK = 200
_MOST_ATTEMPTS = 3
_LARGEST_FAILURE = 1024 * 1024
_NO_CSV = {b"{", b"<"}  # how a failure of the API's begins, and a page from something in between
_BLANK = b"\xef\xbb\xbf \t\r\n"  # a byte order mark, and blanks


class Part:
    """An answer whose header has been read.

    Attributes:
        header: the first record.
    """

    def __init__(self, stream: ExportStream, header: Header, rest: bytes) -> None:
        self.header = header
        self._stream = stream
        self._rest = rest

    @property
    def complete(self) -> bool:
        """Once `take()` has returned nothing: whether the framing proves that nothing is missing."""
        return self._stream.complete

    async def take(self) -> bytes:
        """Return what has arrived of what follows the header, nothing at the end.

        Raises:
            ExportInterrupted: the answer broke off.
        """
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        return await _take(self._stream)


class Parts:
    """Opens one part after the other. One is open at a time, and stays so until `close()` or `failed()`.

    A part is tried three times in all. Answers that say "too many requests" don't count: they are waited for as long
    as the waits of one part stay within the retry's total.

    Args:
        source: where exports come from; it waits for the quota.
        endpoint: which call.
        bodies: the requests, one for each part.
        tasks: owner of the tasks that read answers.
        retry: waits between attempts.
        random: uniform in [0, 1), for jitter.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        source: ExportSource,
        endpoint: Endpoint,
        bodies: Sequence[bytes],
        *,
        tasks: TaskOwner,
        retry: RetryConfig,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._source = source
        self._endpoint = endpoint
        self._bodies = tuple(bodies)
        self._tasks = tasks
        self._retry = retry
        self._random = random
        self._sleep = sleep
        self._stream: ExportStream | None = None
        self._part: Part | None = None
        self._index = -1
        self._failures = 0
        self._throttles = 0
        self._held = 0.0

    def __len__(self) -> int:
        return len(self._bodies)

    async def open(self, index: int) -> Part:
        """Return a part with its header read: the one that is open, or else the one at `index`, fetched.

        Raises:
            ApiError: the API refused.
            ConnectionFailed: no answer came.
        """
        if self._index != index:
            self._index = index
            self._failures = self._throttles = 0
            self._held = 0.0
        while self._part is None:
            try:
                self._part = await self._begin(self._bodies[index])
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
        if isinstance(error, RateLimited):
            self._throttles += 1
            hold = self._source.note_throttled(self._endpoint.family, error)
            # Opening waits for the quota by itself. Even a hold of nothing counts a little, or it would go on for ever.
            self._held += max(hold, self._retry.base)
            again = self._held <= self._retry.total
        else:
            self._failures += 1
            again = error.retryable and self._failures < _MOST_ATTEMPTS
        if not again:
            if isinstance(error, ApiError | ConnectionFailed | UnexpectedResponse):
                error.attempts = self._failures + self._throttles
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
        data = b""
        while True:
            more = await _take(stream) if status == _OK else b""
            data += more
            begin = data.lstrip(_BLANK)[:1]
            if status != _OK or begin in _NO_CSV:
                raise await self._failure(stream, status, data)
            if not (more or stream.complete):
                raise ExportInterrupted("the answer broke off in its header", status=status)
            if more and not begin:
                continue  # blanks so far: what they begin is not known yet
            header = read_header(data, ended=not more)
            if header is not None:
                return Part(stream, header, data[len(header.raw) :])

    async def _failure(self, stream: ExportStream, status: int, data: bytes) -> DfineryError:
        """Say what an answer means that is no CSV. What can't be read of it is done without."""
        try:
            while len(data) < _LARGEST_FAILURE and (more := await stream.take()):
                data += more
        except ConnectionFailed:
            pass  # the status says enough
        error = classify_export(status, data[:_LARGEST_FAILURE].lstrip(_BLANK)).error
        return error or ExportInterrupted("the answer is neither CSV nor the API's failure", status=status)


async def _take(stream: ExportStream) -> bytes:
    try:
        return await stream.take()
    except ConnectionFailed as error:
        raise ExportInterrupted(f"the answer broke off: {error}", status=_OK) from error
