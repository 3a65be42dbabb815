"""What a person sees while a command works: a few lines on a terminal that stay in their place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dfinery_async.cli.output import error_console
from dfinery_async.cli.texts import clock

__all__ = ["STATES", "ProgressView", "ticking"]

STATES = {
    "throttled": "waiting: the quota is used up",
    "unreachable": "waiting: the API does not answer",
    "unauthorized": "the API refuses the token",
    "misconfigured": "this is not the API, or it does not know the service id",
}
_TICK = 0.25
_SMOOTH = 0.3
"""Weight of the newest figure in a shown rate."""


class ProgressView:
    """A bar and a few lines below it; does nothing when it is not wanted.

    Args:
        title: what is being done.
        wanted: whether to show anything.
    """

    def __init__(self, title: str, *, wanted: bool) -> None:
        self._title = title
        self._live = Live(console=error_console(), auto_refresh=False, transient=True) if wanted else None
        self._begin = self._last = time.monotonic()
        self._counts: Mapping[str, int] = {}
        self._shown: tuple[float | None, Mapping[str, int], str, str] = (None, {}, "", "")
        self._rates: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, fraction: float | None, counts: Mapping[str, int], figures: str, state: str = "") -> None:
        """Draw it anew.

        Args:
            fraction: how much is done, from 0 to 1; `None` when nobody knows.
            counts: what rates are counted from, by name.
            figures: the lines below the bar; `{name}` stands for the rate of a count, in so many a second.
            state: the line below those.
        """
        if self._live is None:
            return
        self._shown = fraction, counts, figures, state
        now = time.monotonic()
        if now > self._last:
            for name, count in counts.items():
                rate = (count - self._counts.get(name, 0)) / (now - self._last)
                known = self._rates.get(name, 0.0)
                self._rates[name] = known + _SMOOTH * (rate - known) if known else rate
            self._last, self._counts = now, counts
        rates = {name: f"{self._rates.get(name, 0.0):,.0f}/s" for name in counts}
        texts = [*figures.format(**rates).splitlines(), *([state] if state else [])]
        lines = (Text(text, no_wrap=True, overflow="ellipsis") for text in texts)
        self._live.update(Group(self._bar(fraction, now - self._begin), *lines), refresh=True)

    def again(self) -> None:
        """Draw what was drawn last, with the clock of now."""
        self.show(*self._shown)

    def _bar(self, fraction: float | None, elapsed: float) -> RenderableType:
        row = Table.grid(padding=(0, 2), expand=True)
        row.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        row.add_column(no_wrap=True, justify="right")
        if fraction is None:
            row.add_row(Text(self._title), ProgressBar(pulse=True), "", clock(elapsed))
        else:
            left = clock(elapsed * (1 - fraction) / fraction) + " left" if fraction and elapsed > 1 else ""
            bar = ProgressBar(total=1.0, completed=fraction)
            row.add_row(Text(self._title), bar, f"{fraction:.0%}", left)
        return row


@asynccontextmanager
async def ticking(view: ProgressView) -> AsyncGenerator[None]:
    """Keep the clock of a view going while the block works on something that tells seldom how far it is."""

    async def tick() -> None:
        while True:
            view.again()
            await asyncio.sleep(_TICK)

    ticker = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticker.cancel()
        await asyncio.wait({ticker})
