"""Redis for simulations: the script of the books itself, run by Lua, on data and a clock of the simulation's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import lupa.lua51
from redis.exceptions import ConnectionError as RedisGone

from dfinery_async.config import Family
from dfinery_async.integrations.redis import RedisQuota
from dfinery_async.integrations.redis_books import BOOKS
from dfinery_async.runtime.lending import Leases

__all__ = ["BOOKS", "SimulatedRedis"]

_EPOCH = 1_790_000_123.0


class SimulatedRedis:
    """One Redis, a setting for many clients: it answers within a millisecond or so.

    Args:
        seed: decides how long each answer takes.
        gone: whether it is out of reach at a moment of virtual time.
    """

    def __init__(self, seed: int, gone: Callable[[float], bool] = lambda _: False) -> None:
        self._chance = Random(f"redis {seed}")
        self._gone = gone
        self._data: dict[str, dict[str, Any]] = {}
        lua = lupa.lua51.LuaRuntime(unpack_returned_tuples=True)
        self._lua = lua
        lua.globals().redis = lua.table_from({"call": self._call})
        script: Any = lua.eval(f"function(KEYS, ARGV) {BOOKS} end")
        self._script = script
        self.asked = 0

    def open(self, service_id: str, family: Family) -> Leases:
        leases = RedisQuota(url="redis://simulated").open(service_id, family)
        leases._script = self._run
        return leases

    async def _run(self, keys: list[str], args: list[Any]) -> Any:
        self.asked += 1
        await asyncio.sleep(self._chance.uniform(0.0001, 0.001))
        if self._gone(asyncio.get_running_loop().time()):
            await asyncio.sleep(0.25)
            raise RedisGone("gone")
        found = self._script(self._lua.table_from(keys), self._lua.table_from([str(arg) for arg in args]))
        await asyncio.sleep(self._chance.uniform(0.0001, 0.001))
        return list(found.values())

    def _call(self, name: str, *args: Any) -> Any:
        if name == "TIME":
            now = _EPOCH + asyncio.get_running_loop().time()
            return self._lua.table_from([str(int(now)), str(int(now % 1 * 1e6))])
        key, rest = str(args[0]), args[1:]
        held = self._data.setdefault(key, {})
        match name:
            case "HMGET":
                return self._lua.table_from([held.get(field, False) for field in rest])
            case "HSET":
                held.update(zip(rest[::2], map(str, rest[1::2]), strict=True))
            case "HDEL" | "ZREM":
                for field in rest:
                    held.pop(field, None)
            case "DEL":
                held.clear()
            case "ZADD":
                held[rest[1]] = float(rest[0])
            case "ZSCORE":
                return held.get(rest[0], False)
            case "ZCARD":
                return len(held)
            case "ZREMRANGEBYSCORE":
                for member in [member for member, score in held.items() if score <= float(rest[1])]:
                    del held[member]
            case "PEXPIRE":
                pass
            case _:
                raise NotImplementedError(name)
        return 1
