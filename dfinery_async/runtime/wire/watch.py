"""Deadlines of the request on a connection: one timer, set anew only where it would ring too late."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import httpcore

from dfinery_async.runtime.wire.answer import AnswerReader, Phase
from dfinery_async.runtime.wire.deadlines import Deadlines
from dfinery_async.runtime.wire.mold import Mold

__all__ = ["Watched"]

_WAITING, _BODY = Phase.WAITING, Phase.BODY


class Watched(AnswerReader):
    """What is read of an answer, and how long it may take.

    Args:
        loop: the running loop.
        mold: what the usual answers look like.

    Attributes:
        now: gives the monotonic time.
    """

    __slots__ = (
        "_began",
        "_deadlines",
        "_loop",
        "_partly",
        "_streamed",
        "_timer",
        "_touched",
        "_transport",
        "_wrote_at",
        "now",
    )

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, mold: Mold | None) -> None:
        super().__init__(mold)
        self._loop = loop
        self.now: Callable[[], float] = loop.time
        self._deadlines: Deadlines | None = None
        self._streamed = False
        self._partly = False  # whether more of the request is to come
        self._began = 0.0
        self._touched = 0.0
        self._wrote_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def _awaited(self) -> bool:
        """Whether anybody still waits for the connection."""
        raise NotImplementedError

    def _fail(self, error: Exception) -> None:
        """Close it for good, and tell whoever waits."""
        raise NotImplementedError

    def _arm(self, deadlines: Deadlines) -> None:
        """See that the timer rings no later than the next deadline. It is left alone where it rings earlier."""
        due = min(self._touched + deadlines.read, self._wrote_at + deadlines.write, self._total_at(deadlines))
        timer = self._timer
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
            self._timer = None
        if due < math.inf:
            self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        """Look whether a deadline has passed; set the timer for the next one if anybody still waits."""
        self._timer = None
        deadlines = self._deadlines
        if deadlines is None or not self._awaited():
            return
        now = self.now()
        if self._transport.get_write_buffer_size():
            if now >= self._wrote_at + deadlines.write:
                self._fail(httpcore.WriteTimeout())
                return
            self._touched = now  # the time to read begins when all is written
        else:
            self._wrote_at = now
            if self._partly and self._phase is _WAITING:
                self._touched = now
        if now >= min(self._touched + deadlines.read, self._total_at(deadlines)):
            self._fail(httpcore.ReadTimeout())
        else:
            self._arm(deadlines)

    def _total_at(self, deadlines: Deadlines) -> float:
        """When the answer must be whole; the body of a streamed one may take as long as it comes."""
        return math.inf if self._streamed and self._phase is _BODY else self._began + deadlines.total
