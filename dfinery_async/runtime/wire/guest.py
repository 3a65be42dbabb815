"""Who sends a request without a task of its own."""

from __future__ import annotations

from typing import Protocol

from dfinery_async.core.reply import RawHeaders

__all__ = ["Guest"]


class Guest(Protocol):
    """Whoever sent a request without a task of its own, and is called back in the turn in which it ended."""

    def answered(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """The whole answer came."""

    def failed(self, error: Exception) -> None:
        """No whole answer came: one of httpcore's errors says why."""
