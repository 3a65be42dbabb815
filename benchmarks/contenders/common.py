"""What a contender is: something that opens a client towards the sink and delivers rows with it."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from kit.loads import Row

Send: TypeAlias = "Callable[[Sequence[Any]], Awaitable[None]]"
"""Delivers rows, or what was prepared of them, and returns when the sink has confirmed all of them."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to, and how.

    Attributes:
        url: address of a door of the sink.
        ca: file with the authority that signed its certificate.
        in_flight: requests in the air at the most, where a client can have several.
        connections: connections at the most; as many as requests by default.
        producer: further options of our producer.
    """

    url: str
    ca: str | None = None
    in_flight: int = 64
    connections: int = 0
    producer: dict[str, Any] = field(default_factory=dict)

    def context(self) -> ssl.SSLContext | None:
        """Return a TLS context that trusts the sink, `None` without TLS."""
        return ssl.create_default_context(cafile=self.ca) if self.url.startswith("https") else None


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to deliver events.

    Attributes:
        label: what it is, in tables.
        kind: whose it is: ours, a bare client, a general HTTP client, or another vendor's package.
        open: opens it; what it gives delivers rows. It imports its package itself, so that a missing one is told.
        prepare: done with the rows before anything is measured; as a rule nothing.
        cap: it is given that many events at the most, as its cost per event is the same for more.
    """

    label: str
    kind: Literal["ours", "bare", "http", "vendor"]
    open: Callable[[Target], AbstractAsyncContextManager[Send]]
    prepare: Callable[[Sequence[Row]], Sequence[Any]] | None = None
    cap: int | None = None
