"""How far an export is."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from dfinery_async.core.export_plan import ExportCall

__all__ = ["ExportProgress", "OnProgress", "Tally"]

_EVERY = 0.25  # seconds


class ExportProgress(msgspec.Struct, frozen=True):
    """How far an export is.

    Attributes:
        calls: that it is made of.
        calls_done: whose answers are there, whole.
        bytes: of answers so far, those included that broke off.
        day: the last of the days that are there without a gap; `None` before the first, and for profiles.
    """

    calls: int
    calls_done: int
    bytes: int
    day: dt.date | None


OnProgress: TypeAlias = Callable[[ExportProgress], object]
"""Called a few times a second, and at the end."""


class Tally:
    """Counts what arrives, and tells of it.

    Args:
        calls: of the export.

    Attributes:
        listener: who is told.
    """

    def __init__(self, calls: int) -> None:
        self.listener: OnProgress | None = None
        self._calls = calls
        self._done = self._bytes = 0
        self._day: dt.date | None = None
        self._told_at = 0.0

    def received(self, count: int) -> None:
        """Count bytes of an answer."""
        self._bytes += count
        if self.listener is not None and time.monotonic() - self._told_at >= _EVERY:
            self.tell()

    def done(self, call: ExportCall) -> None:
        """Count a call whose answer is there; in the order of days."""
        self._done += 1
        self._day = call.last
        self.tell()

    def tell(self) -> None:
        """Say it now."""
        self._told_at = time.monotonic()
        if self.listener is not None:
            self.listener(ExportProgress(self._calls, self._done, self._bytes, self._day))
