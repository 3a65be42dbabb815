"""Whether what a load sends gets through, and when people are told that nothing does."""

from __future__ import annotations

from typing import Final

from dfinery_async.cli.output import warn
from dfinery_async.cli.texts import until
from dfinery_async.models import Stats

__all__ = ["Hindrance", "Reminder"]

_TELL_AFTER: Final = 10.0  # seconds without a success after which people are told
_TELL_AGAIN: Final = 60.0  # seconds after which they are told again
_DRAIN: Final = 10.0  # seconds without a success after which an interrupted load gives up what it has read


class Reminder:
    """When people are told that nothing comes: after ten seconds, then once a minute.

    Args:
        now: the monotonic time.

    Attributes:
        since: when something came last.
    """

    def __init__(self, now: float) -> None:
        self.since: float = now
        self._tell_at = now + _TELL_AFTER

    def came(self, now: float) -> None:
        """Note that something came."""
        self.since, self._tell_at = now, now + _TELL_AFTER

    def due(self, now: float) -> bool:
        """Whether people are to be told now."""
        if now < self._tell_at:
            return False
        self._tell_at = now + _TELL_AGAIN
        return True


class Hindrance:
    """Watches the books of a producer.

    Args:
        now: the monotonic time.
    """

    def __init__(self, now: float) -> None:
        self._settled = 0
        self._interrupted_at = now
        self._reminder = Reminder(now)

    def interrupted(self, now: float) -> None:
        """Say that what was read is still sent, as long as it gets through; its time begins here."""
        self._interrupted_at = now
        warn(
            f"interrupted: sending what was read, until nothing has got through for {_DRAIN:g} s; "
            "press Ctrl-C again to stop now"
        )

    def look(self, stats: Stats, trouble: Exception | None, wait: float, now: float) -> None:
        """Take in the books of this moment, and say on standard error when nothing gets through, once a minute.

        Args:
            stats: the books.
            trouble: the error of the last attempt, `None` when it went well.
            wait: seconds until the quota lets calls go again.
            now: the monotonic time.
        """
        settled = stats.delivered + stats.rejected
        due = stats.pending and (trouble is not None or stats.state != "running" or stats.silent_for)
        if settled != self._settled or not due:
            self._settled = settled
            self._reminder.came(now)
        elif self._reminder.due(now):
            warn(f"delivery is hindered: {self.reason(stats, trouble, wait, now)}; still trying, Ctrl-C ends it")

    def stuck(self, stats: Stats, now: float) -> bool:
        """Whether there is no use in draining any longer. Silence from before the interruption counts, too."""
        return max(stats.silent_for, now - max(self._reminder.since, self._interrupted_at)) >= _DRAIN

    def reason(self, stats: Stats, trouble: Exception | None, wait: float, now: float) -> str:
        """Say for how long nothing has got through, and why."""
        if stats.state == "throttled" and wait:
            why = f"the quota is used up until {until(wait)}"
        else:
            why = "no answer yet" if trouble is None else str(trouble)
        return f"nothing has got through for {max(stats.silent_for, now - self._reminder.since):,.0f} s: {why}"
