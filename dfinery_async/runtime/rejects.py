"""Telling the user of what the API refused: a callback, or a file that `dfinery load` reads again after mending."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from dfinery_async.core import codec
from dfinery_async.core.work import Batch, Work
from dfinery_async.errors import ApiError, ConfigError, DfineryError
from dfinery_async.models import Rejection
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["OnRejected", "Rejects", "is_callback", "reject_line"]

OnRejected: TypeAlias = "Callable[[Rejection], Awaitable[Any] | None] | str | os.PathLike[str]"
"""What to do with a rejection: a function, sync or async, or the path of a JSON Lines file to add to."""

_log = logging.getLogger("dfinery_async.producer")


class _Call:
    """One call of a callback."""

    over = False


_call: ContextVar[_Call | None] = ContextVar("dfinery_on_rejected", default=None)


def is_callback() -> bool:
    """Whether a callback that has not returned yet asks this, or a task that it has started."""
    call = _call.get()
    return call is not None and not call.over


class Rejects:
    """Hands rejections over one by one, in order. A callback that fails is logged once and harms nothing else.

    A callback may end with any exception, a `CancelledError` of what it waited for included; it may even cancel the
    task that it runs in. So one task calls it, and another sees that the next ones are told whatever became of that.

    Args:
        on_rejected: where they go.
        tasks: who owns the task that hands them over.

    Attributes:
        handed_over: called with each refused work when its rejection was handed over.
    """

    def __init__(self, on_rejected: OnRejected, tasks: TaskOwner) -> None:
        self.handed_over: Callable[[Work], None] | None = None
        self._call = on_rejected if callable(on_rejected) else _file_writer(_path_of(on_rejected))
        self._tasks = tasks
        self._queue: deque[tuple[Rejection, Work]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._complained = False

    def put(self, batch: Batch, error: DfineryError) -> None:
        """Hand over soon what a refused request carried."""
        self._queue.extend((_rejection(batch, work, error), work) for work in batch.works)
        if self._running is None:
            self._running = self._tasks.start(self._run(), "rejects to the end")

    async def drained(self) -> None:
        """Wait until all that was put has been handed over."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while self._queue:
                telling = self._tasks.start(self._tell(), "rejects")
                await asyncio.wait([telling])
                self._complain(_end_of(telling))
        finally:
            self._running = None
            if self._queue:
                _log.warning("on_rejected was not called for the last %d rejections", len(self._queue))

    async def _tell(self) -> None:
        while self._queue:
            rejection, work = self._queue.popleft()
            _call.set(call := _Call())
            try:
                result = self._call(rejection)
                if inspect.isawaitable(result):
                    await result
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise  # the client closes, or the callback wanted it so
                self._complain(error)
            except Exception as error:  # noqa: BLE001 - a user's callback may raise anything
                self._complain(error)
            finally:
                call.over = True
            if self.handed_over is not None:
                self.handed_over(work)

    def _complain(self, error: BaseException | None) -> None:
        if error is not None and not self._complained:
            self._complained = True
            _log.warning("on_rejected failed and is called on for the next: %s", type(error).__name__)


def _end_of(task: asyncio.Task[None]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _is_cancelled() -> bool:
    """Whether somebody wants the task that runs to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _path_of(given: str | os.PathLike[str]) -> Path:
    try:
        return Path(given)
    except TypeError:
        raise ConfigError("on_rejected must be a function or the path of a file") from None


def _file_writer(path: Path) -> Callable[[Rejection], None]:
    """Make a function that adds rejections to a file. Rejects hold personal data, so only its owner may read it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
        os.close(handle)
    except OSError as error:
        raise ConfigError(f"the file for rejects cannot be written: {path}: {error.strerror}") from None

    def write(rejection: Rejection) -> None:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(reject_line(rejection)) + b"\n")

    return write


def reject_line(rejection: Rejection) -> dict[str, Any]:
    """Return a rejection in the form that `dfinery load` reads, with the error beside, which it ignores."""
    line: dict[str, Any] = {"identity": rejection.identity}
    if rejection.event is not None:
        line |= msgspec.json.decode(codec.encode_event(rejection.event), type=dict[str, msgspec.Raw])
    elif rejection.properties is not None:
        line["user_properties"] = rejection.properties
    error: dict[str, Any] = {"message": str(rejection.error), "type": type(rejection.error).__name__}
    if isinstance(rejection.error, ApiError):
        error |= {"code": rejection.error.code, "status": rejection.error.status}
    return {**line, "error": {**error, "attempts": rejection.attempts}}


def _rejection(batch: Batch, work: Work, error: DfineryError) -> Rejection:
    common: dict[str, Any] = {
        "identity": codec.decode_identity(batch.key),
        "error": error,
        "attempts": batch.attempts,
    }
    match work.family:
        case "events":
            return Rejection(kind="event", event=codec.decode_event(work.payload), **common)
        case "profiles":
            return Rejection(kind="profile", properties=work.payload, **common)
        case _:
            return Rejection(kind="identity", **common)
