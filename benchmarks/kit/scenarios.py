"""Which load, towards which door, by whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contenders import CONTENDERS
from kit.loads import LOADS, Load

_EVERYBODY = tuple(name for name in CONTENDERS if name != "ours-among-idle")  # that one is for growth.py
_SHORT = (
    "bare-ready",
    "bare",
    "ours",
    "ours-load",
    "ours-send-many",
    "aiohttp-batched",
    "aiohttp",
    "httpx-shards",
    "httpx",
    "httpx-sequential",
)
_WIRES = ("bare-ready", "bare", "ours", "ours-load", "aiohttp")
_QUICK = 10
_FEWEST = 2_000  # fewer are over before a slow client runs as it does in the long run


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One table.

    Attributes:
        title: without the load, which is named beside it.
        load: name of the load.
        door: of the sink.
        loop: event loop of the client.
        in_flight: requests in the air.
        names: of the contenders.
        plot: whether it gets a plot.
    """

    title: str
    load: str
    door: str = "plain"
    loop: str = "asyncio"
    in_flight: int = 64
    names: tuple[str, ...] = _EVERYBODY
    plot: bool = False

    @property
    def about(self) -> str:
        """The load in words."""
        return self._load.about

    @property
    def _load(self) -> Load:
        return LOADS[self.load]

    def specs(self, *, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give what each contender is told."""
        for name in self.names:
            cap = CONTENDERS[name].cap or self._load.events
            events = min(self._load.events, cap)
            if quick:
                events = max(events // _QUICK, min(events, _FEWEST))
            yield (
                name,
                {
                    "contender": name,
                    "load": self.load,
                    "events": events,
                    "door": self.door,
                    "loop": self.loop,
                    "in_flight": self.in_flight,
                },
            )


SCENARIOS: dict[str, Scenario] = {
    "a": Scenario(title="Load (a)", load="a", plot=True),
    "b": Scenario(title="Load (b)", load="b", plot=True),
    "c": Scenario(title="Load (c)", load="c", plot=True),
    "d": Scenario(title="Load (d): (b) with a server of 20 ms, over TLS", load="b", door="tls-20ms"),
    "e": Scenario(title="Load (e)", load="e", plot=True),
    "b-tls": Scenario(title="Load (b) over TLS, no delay", load="b", door="tls", names=_SHORT),
    "a-uvloop": Scenario(title="Load (a) on uvloop", load="a", loop="uvloop", names=_SHORT),
    "b-uvloop": Scenario(title="Load (b) on uvloop", load="b", loop="uvloop", names=_SHORT),
    "many": Scenario(
        title="Load (b), 1,024 requests in flight, a server of 10 ms",
        load="b",
        door="10ms",
        in_flight=1024,
        names=_WIRES,
        plot=True,
    ),
}
