"""The end of a connection that httpcore has no class for."""

from __future__ import annotations

import httpcore

__all__ = ["Disconnected"]

_TEXT = "Server disconnected without sending a response."  # httpcore's own words


class Disconnected(httpcore.RemoteProtocolError):
    """The peer closed the connection before it sent a byte of an answer.

    Attributes:
        stale: whether the connection had served a request before, so that the peer most likely closed it while it was
            idle, and never looked at this one.
    """

    def __init__(self, *, stale: bool) -> None:
        super().__init__(_TEXT)
        self.stale: bool = stale
