"""One quota for many processes and hosts, kept in Redis or Valkey: `DfineryClient(quota_share=RedisQuota(url=…))`.

    from dfinery_async import DfineryClient
    from dfinery_async.integrations.redis import RedisQuota

    client = DfineryClient.from_env(quota_share=RedisQuota(url="redis://localhost:6379/0"))

The books are kept by a script that Redis runs as a whole, with Redis's own clock. A client asks it for the calls of
about a sixtieth of the window at a time, and nothing else goes over the wire: no event, no token.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import msgspec

from dfinery_async.config import Family
from dfinery_async.errors import ConfigError
from dfinery_async.integrations.redis_books import BOOKS
from dfinery_async.runtime.lending import Away, Lease, Told

try:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError
except ImportError as _missing:
    raise ImportError("a quota shared by Redis needs its client: pip install 'dfinery-async[redis]'") from _missing

__all__ = ["RedisQuota"]


class RedisQuota(msgspec.Struct, frozen=True, kw_only=True):
    """Where the quota is shared: a setting that can be pickled, and that opens nothing before it is used.

    All clients of a service that are to share its quota name the same Redis and the same prefix. Processes that do not
    are noticed by what replies say, and made room for.

    Attributes:
        url: as redis-py takes it: `redis://host:6379/0`, `rediss://…` for TLS, `unix:///path`.
        prefix: of the keys. Each service and family of calls has two.
        timeout: seconds after which Redis counts as gone. Calls go on then, paced by the headers alone, and Redis is
            asked again after 0.25 s, then less often, every 5 s in the end.

    Raises ConfigError when a setting cannot work.
    """

    url: str
    prefix: str = "dfinery:quota"
    timeout: float = 0.5

    def __post_init__(self) -> None:
        if not self.url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError("url must begin with redis://, rediss:// or unix://")
        if not 0 < self.timeout < 60:
            raise ConfigError(f"timeout must be a number of seconds between 0 and 60, not {self.timeout!r}")

    def __rich_repr__(self) -> Any:
        """An address may hold a password."""
        yield "url", "***"
        yield "prefix", self.prefix
        yield "timeout", self.timeout

    def __repr__(self) -> str:
        return f"RedisQuota({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def open(self, service_id: str, family: Family) -> _RedisLeases:
        """Return the books of one family. Connects when the first lease is asked for."""
        return _RedisLeases(self, f"{self.prefix}:{{{service_id}:{family}}}")


class _RedisLeases:
    def __init__(self, quota: RedisQuota, key: str) -> None:
        self._redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - redis leaves its **kwargs untyped
            quota.url, socket_timeout=quota.timeout, socket_connect_timeout=quota.timeout, decode_responses=True
        )
        self._script = self._redis.register_script(BOOKS)
        self._keys = [key, f"{key}:clients"]
        self._name = os.urandom(8).hex()
        self._window = ""

    async def ask(self, told: Told) -> Lease:
        try:
            window, calls, seconds, ends_in, clients = await self._run(told, "ask")
        except (RedisError, OSError) as error:
            raise Away from error
        self._window = window
        return Lease(calls=int(calls), seconds=int(seconds) / 1000, ends_in=int(ends_in) / 1000, clients=int(clients))

    async def leave(self, told: Told | None) -> None:
        with suppress(RedisError, OSError):  # what was lent is lost until the window ends
            if told is not None:
                await self._run(told, "leave")
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _run(self, told: Told, what: str) -> Any:
        return await self._script(
            keys=self._keys,
            args=[
                what,
                self._name,
                self._window,
                told.unused,
                told.answered,
                told.limit,
                round(told.period * 1000),
                round(told.span * 1000),
                "" if told.remaining is None else told.remaining,
                told.heard,
                "" if told.reset_in is None else round(told.reset_in * 1000),
                int(told.dated),
            ],
        )
