"""Settings as a few frozen values, checked when they are made. Times are in seconds, sizes in bytes."""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from dfinery_async.addresses import check_proxy
from dfinery_async.errors import ConfigError

__all__ = [
    "FAMILIES",
    "ConnectionConfig",
    "DeliveryConfig",
    "Family",
    "PacingConfig",
    "RetryConfig",
    "SpoolConfig",
    "TimeoutConfig",
    "Token",
    "TokenSource",
    "check_methods",
    "environment",
    "parse_service_id",
    "setting",
]

T = TypeVar("T")

Family: TypeAlias = Literal["events", "identities", "profiles", "exports"]
"""Calls that share one quota (API guide, "Request Limit")."""

FAMILIES: tuple[Family, ...] = ("events", "identities", "profiles", "exports")


class TimeoutConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Deadlines of one attempt.

    Attributes:
        connect: until a connection stands, TLS included.
        read: between two pieces of an answer.
        write: until a piece of a request is taken.
        total: for one attempt of an import call as a whole, and until an export begins to answer. It must exceed the
            API's own processing time, or requests that were given up are processed all the same and come twice.
    """

    connect: float = 5.0
    read: float = 30.0
    write: float = 15.0
    total: float = 60.0

    def __post_init__(self) -> None:
        _positive(self, "connect", "read", "write", "total")


class ConnectionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Connections to the API.

    Attributes:
        max_connections: connections at the most, and so requests in flight at the most. A full quota of 1,000,000 calls
            a minute takes the rate times the round trip: 167 at 10 ms, 833 at 50 ms.
        keepalive_expiry: an idle connection is closed after this long; keep it below the server's.
        max_age: a connection is not used again after this long, so that a change of addresses is followed.
        verify: a TLS context of your own; by default the certificates of the `certifi` package are trusted.
        proxy: address of a proxy: http, https, or socks5 with the package `socksio`. Variables of the environment are
            not read.
    """

    max_connections: int = 64
    keepalive_expiry: float = 5.0
    max_age: float = 300.0
    verify: ssl.SSLContext | None = None
    proxy: str | None = None

    def __post_init__(self) -> None:
        _counts(self, "max_connections")
        _positive(self, "keepalive_expiry", "max_age")
        if self.verify is not None and not isinstance(self.verify, ssl.SSLContext):
            raise ConfigError("verify must be an ssl.SSLContext")
        if self.proxy is not None:
            check_proxy(self.proxy)

    def __rich_repr__(self) -> Any:
        """A proxy's address may hold a password."""
        yield "max_connections", self.max_connections
        yield "keepalive_expiry", self.keepalive_expiry
        yield "max_age", self.max_age
        yield "proxy", None if self.proxy is None else "***"

    def __repr__(self) -> str:
        return f"ConnectionConfig({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class RetryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When to try again. The wait before attempt n+1 is uniform in [0, min(cap, base · 2ⁿ)]: full jitter.

    Attributes:
        total: how long one direct call may take with all its attempts and waits; an attempt is cut to what is left. Of
            a `send_events` that makes several requests, those that go well at once take nothing of it. 0 is for one
            attempt, which the time-outs alone bound.
        base: the first wait is at most this.
        cap: no wait is longer than this.
        unexpected_attempts: how often a direct call tries when the answer is not the API's.
    """

    total: float = 30.0
    base: float = 0.2
    cap: float = 30.0
    unexpected_attempts: int = 3

    def __post_init__(self) -> None:
        _positive(self, "base", "cap")
        _not_negative(self, "total")
        _counts(self, "unexpected_attempts")


class PacingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the quota is spent. The defaults are the documented quotas; the headers of every answer correct them.

    Attributes:
        events: calls a minute.
        identities: calls a minute.
        profiles: calls a minute.
        exports: calls an hour.
        concurrent_exports: exports at the same time, 5 at the most (API guide, "Request Limit").
        share: the part of every quota that this client may use, for services whose quota is shared.
        limit_rate: calls a second of each family at the most, a limit of your own; `None` is none. No header raises it.
            A few hundredths of a second's worth of calls, or one, may come early.
        horizon: windows up to this long are spread evenly, longer ones may be spent in a burst.
    """

    events: int = 1_000_000
    identities: int = 10_000
    profiles: int = 10_000
    exports: int = 100
    concurrent_exports: int = 5
    share: float = 1.0
    limit_rate: float | None = None
    horizon: float = 600.0

    def __post_init__(self) -> None:
        _counts(self, "events", "identities", "profiles", "exports", "concurrent_exports")
        _positive(self, "share", "horizon")
        if self.limit_rate is not None:
            _positive(self, "limit_rate")
        if self.concurrent_exports > _MOST_EXPORTS:
            raise ConfigError(f"concurrent_exports must be at most {_MOST_EXPORTS}, as the API takes no more")
        if self.share > 1:
            raise ConfigError(f"share must be at most 1, not {self.share}")


class DeliveryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a producer batches, bounds and gives up.

    Attributes:
        linger: how long the first event of a batch waits for more while the producer could send. With 0 it sends at
            once while it has room, and packs more per request by itself when it has not.
        max_in_flight: requests in the air at the most, never more than there are connections.
        max_pending_events: units that may wait or be in the air.
        max_pending_bytes: their encoded size at the most.
        on_full: `"wait"` for room, `"raise"` QueueFull, or `"drop_newest"`, which counts the event as dropped.
        delivery_timeout: how long a unit may wait and be retried before it is dropped, unless a spool keeps it; `None`
            is for ever.
        max_batch_bytes: size of one request's body at the most.
    """

    linger: float = 0.0
    max_in_flight: int = 64
    max_pending_events: int = 100_000
    max_pending_bytes: int = 64 * 1024 * 1024
    on_full: Literal["wait", "raise", "drop_newest"] = "wait"
    delivery_timeout: float | None = 120.0
    max_batch_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        _not_negative(self, "linger")
        _counts(self, "max_in_flight", "max_pending_events", "max_pending_bytes", "max_batch_bytes")
        if self.on_full not in ("wait", "raise", "drop_newest"):
            raise ConfigError(f'on_full must be "wait", "raise" or "drop_newest", not {self.on_full!r}')
        if self.delivery_timeout is not None:
            _positive(self, "delivery_timeout")


class SpoolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a producer keeps on disk what it accepted.

    Attributes:
        path: a folder on a disk of this machine. Each process that uses it has a sub-folder of its own there, and a
            start takes over those whose process died.
        mode: `"always"` writes each event before `track()` returns, so that it survives the death of the process;
            `"on_failure"` keeps events in memory and writes them when the API is away, and when the producer closes.
        durability: `"power"` waits until the disk has what was written, so that it survives a power cut as well;
            `"process"` does not, which costs less and loses the last moments when the machine stops.
        max_bytes: size on disk of what waits. Beyond 95 % of it `track` raises SpoolFull; what is there stays.
        exclusive: there is to be one owner; a second one gets SpoolLocked instead of a sub-folder of its own.
    """

    path: str | os.PathLike[str]
    mode: Literal["always", "on_failure"] = "always"
    durability: Literal["power", "process"] = "power"
    max_bytes: int = 1024 * 1024 * 1024
    exclusive: bool = False

    def __post_init__(self) -> None:
        _counts(self, "max_bytes")
        if self.max_bytes < _SMALLEST_SPOOL:
            raise ConfigError(f"max_bytes of a spool must be at least {_SMALLEST_SPOOL}, not {self.max_bytes}")
        if self.mode not in ("always", "on_failure"):
            raise ConfigError(f'mode of a spool must be "always" or "on_failure", not {self.mode!r}')
        if self.durability not in ("power", "process"):
            raise ConfigError(f'durability of a spool must be "power" or "process", not {self.durability!r}')
        if not isinstance(self.path, str | os.PathLike) or not str(self.path) or "\0" in str(self.path):
            raise ConfigError("the path of a spool must be that of a folder")

    @classmethod
    def of(cls, value: SpoolConfig | str | os.PathLike[str]) -> SpoolConfig:
        """Return `value` as a config; a path alone has the defaults."""
        return value if isinstance(value, SpoolConfig) else cls(path=value)


_SMALLEST_SPOOL = 1024 * 1024
_MOST_EXPORTS = 5


class Token:
    """A secret that prints as `***`. Its text leaves only through `reveal()`, at the moment a request is made.

    Raises:
        ConfigError: the text could not stand in an HTTP header.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str, name: str = "token") -> None:
        if not isinstance(text, str) or not text:
            raise ConfigError(f"{name} must be a text that is not empty")
        if not _TOKEN.fullmatch(text):
            raise ConfigError(
                f"{name} holds a space, a line break or a character outside ASCII; was a line end copied with it?"
            )
        self._text = text

    def reveal(self) -> str:
        """Return the secret's text."""
        return self._text

    def __repr__(self) -> str:
        return "Token('***')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> Any:
        raise TypeError("a Token is not pickled: hand the settings over as text where they are needed")


TokenSource: TypeAlias = "str | Token | Callable[[], str | Token]"
"""A token, or a function that gives the current one; it is asked again after the API refused a token."""


def setting(kind: type[T], value: T | None, name: str) -> T:
    """Return a setting, by default the usual one.

    Raises:
        ConfigError: it is of another kind.
    """
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be a {kind.__name__}, not {type(value).__name__}")
    return value


def check_methods(value: object, name: str, methods: Iterable[str], example: str) -> None:
    """Check a setting that may be of any kind that has these methods, or `None`.

    Raises:
        ConfigError: one is missing; or it is a class of such a kind, and nobody has made an object of it.
    """
    if value is None:
        return
    if isinstance(value, type):
        raise ConfigError(f"{name} must be such as {example}, an object and not the class {value.__name__}")
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if missing:
        kind = type(value).__name__
        raise ConfigError(f"{name} must be such as {example}, not {kind}, which has no {', '.join(missing)}")


def parse_service_id(service_id: str) -> str:
    """Check a service id.

    Raises:
        ConfigError: it is empty or holds what could change the request's address.
    """
    if not isinstance(service_id, str) or not service_id:
        raise ConfigError("service_id is missing; the console shows it under Service Management, Key information")
    if not _SERVICE_ID.fullmatch(service_id):
        raise ConfigError("service_id may hold only letters, digits, '.', '_' and '-'")
    return service_id


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the client's arguments that the environment sets: `DFINERY_SERVICE_ID` and its fellows."""
    variables = os.environ if variables is None else variables
    names = ("service_id", "import_token", "export_token", "base_url")
    found = {name: variables.get(f"DFINERY_{name.upper()}", "") for name in names}
    return {name: value for name, value in found.items() if value}


_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_SERVICE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def _positive(config: msgspec.Struct, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigError(f"{name} must be a number above 0, not {value!r}")


def _not_negative(config: msgspec.Struct, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ConfigError(f"{name} must be a number of at least 0, not {value!r}")


def _counts(config: msgspec.Struct, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
