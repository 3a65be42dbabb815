"""How long one request on a connection may take."""

from __future__ import annotations

import math

import msgspec

__all__ = ["Deadlines"]


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one request, in seconds.

    Attributes:
        read: between two pieces of an answer.
        write: until what was handed to the socket is taken.
        total: until the answer is whole, or has begun where it is streamed.
    """

    read: float = math.inf
    write: float = math.inf
    total: float = math.inf
