"""The window of quota of one family: what may be sent now, and how fast.

A window is known by the moment of its end on the server's clock, which tells a late reply of the window before from one
of the next. When that moment is in our own, monotonic time is known only roughly: `Date` has whole seconds, and a reply
is under way for a while. Both make the end seem later than it is, so that the earliest of all replies is the best.

Where no reply names an end that lies ahead, it is guessed. A guess spreads what is left, and never closes the window:
who knows no better finds out by asking.
"""

from __future__ import annotations

import math

from dfinery_async.core.quota_headers import Observation
from dfinery_async.core.sharing import FairShare

__all__ = ["QuotaWindow"]

_LONGEST_GUESS = 60.0  # where a reply counts but names no reset, the count is believed for this long
_RESERVE = 0.005  # of a limit that others use too: room for what they have sent and we have not seen
_BLIND = 1 / 20  # of the span: where others may have used up what was seen longer ago than this, one call may look


class QuotaWindow:
    """The quota of one family of calls.

    Args:
        limit: calls in one window until a reply corrects it.
        period: length of the window in seconds until a reply corrects it.
        share: the part of it that may be used.
        horizon: longer windows may be spent in a burst, shorter ones are spread.
        most: calls a second at the most, whatever replies say: a limit of the user's own.
    """

    def __init__(
        self, limit: int, period: float, *, share: float = 1.0, horizon: float = 600.0, most: float | None = None
    ) -> None:
        self.period: float = period
        self.observed: bool = False  # whether a reply has told the period
        self.remaining: int | None = None
        self.reset_at: float | None = None  # monotonic
        self.ends: float | None = None  # the same as the server named it last, on its own clock; `None` for a guess
        self.most: float | None = most
        self._limit = float(limit)
        self._share = share
        self._horizon = horizon
        self._guessed = False  # whether `reset_at` is our own guess
        self._spent = 0  # calls that no reply has counted yet
        self._spent_in_window = 0
        self._overtaken = 0  # of those, how many the server may have counted before `remaining` was the count
        self._hold_until = -math.inf
        self._key: float | None = None  # the window's end as the server says it
        self._ended: float | None = None  # that of the window before
        self._late = 0  # calls that were under way when it ended
        self._seen_at = -math.inf  # when `remaining` was heard
        self._placed_until = -math.inf  # its end, if the last reply was of it by the server's own clock
        self._sharing = FairShare()
        self.leased: bool = False  # whether leases say what others leave, and not what we see of them
        self.dated: bool = False  # whether the window's end was told by the server's clock
        self.made: int = 0  # calls in all
        self.answered: int = 0  # of those, how many a reply has counted
        self._answered_before = 0  # and how many of them before this window

    @property
    def alone(self) -> bool:
        """Whether nobody else was seen to use this quota of late."""
        return self._sharing.alone

    @property
    def limit(self) -> float:
        """Calls in one window, as far as is known."""
        return self._limit

    @property
    def guessed(self) -> bool:
        """Whether the window's end is our own guess."""
        return self._guessed

    @property
    def heard(self) -> int:
        """Calls that a reply has counted in this window."""
        return self.answered - self._answered_before

    def share_with(self, clients: int) -> None:
        """Take in how many share the quota, from who knows."""
        self._sharing.among(clients)

    def spend(self) -> None:
        """Note that a call is made."""
        self._spent += 1
        self._spent_in_window += 1
        self.made += 1

    def forget(self, *, sent: bool = True) -> None:
        """Note that a call got no reply that could count it, or was not made at all."""
        self._spent = max(0, self._spent - 1)
        self._spent_in_window = max(self._spent, self._spent_in_window - 1)
        self._sharing.own += sent
        self.made -= not sent

    def observe(self, seen: Observation, now: float) -> None:
        """Take in what a reply says; the reply has counted its own call."""
        self._roll(now)
        if self._spent:
            self._spent -= 1
        self._sharing.own += 1
        if seen.period is not None:
            self.observed = True
            if seen.period != self.period:
                self.period = seen.period
                self._shorten(now)
        self._placed_until = -math.inf
        if seen.reset_in is not None and not self._place(seen, seen.reset_in, now):
            return  # a late reply of a window before: its count says nothing of this one
        if seen.remaining == 0 and (self.reset_at is None or self._guessed):
            if self._guessed:
                self._end()  # nothing is left, and nobody says until when: that tells of no time to wait for
        elif seen.remaining is not None:
            self._count(seen.remaining, now)
        if seen.reset is not None and seen.reset == self._key and self.reset_at is not None and not self._guessed:
            self._placed_until = self.reset_at

    def recount(self, remaining: int, now: float) -> float | None:
        """Take in a reply that differs from the last one in its count alone, as `observe` would.

        Returns what `available` does; `None` where the last one does not tell enough of this one, and `observe` has to
        be asked.
        """
        if now >= self._placed_until:
            return None
        if self._spent:
            self._spent -= 1
        self._sharing.own += 1
        return self._count(remaining, now)

    def _place(self, seen: Observation, reset_in: float, now: float) -> bool:
        """Find the window that a reply speaks of. Returns whether it is the present one, as far as can be told."""
        key = now + reset_in if seen.reset is None else seen.reset
        half = self.period / 2
        if self._key is not None and not self._guessed:
            if key < self._key - half:
                return False
            if key <= self._key + half:
                if reset_in > 0 and self.reset_at is not None:
                    self.ends = seen.reset
                    if seen.dated:
                        self.reset_at = min(self.reset_at, now + reset_in)
                return True
        elif self._ended is not None and key <= self._ended + half and self._late:
            self._late -= 1
            return False
        if reset_in > 0:
            if self._key is not None and not self._guessed:
                self._end()
                self._spent_in_window += 1
            self.reset_at, self._key, self._guessed = now + min(reset_in, self.period), key, False
            self.dated, self.ends = seen.dated, seen.reset
        return True

    def throttled(self, now: float, fallback: float) -> float:
        """Note an answer that said "too many requests". Returns the monotonic time from which calls may go again.

        Args:
            now: monotonic time.
            fallback: seconds to hold where the end of the window is not known.
        """
        self._roll(now)
        until = self.reset_at if self.reset_at is not None and not self._guessed else now + min(fallback, self.period)
        self._hold_until = max(self._hold_until, until)
        return self._hold_until

    def wait(self, now: float) -> float:
        """Return the seconds until a call may be made; 0 is now."""
        self._roll(now)
        if self._hold_until > now:
            return self._hold_until - now
        if self.reset_at is None or self._guessed:
            return 0.0
        left = self.reset_at - now
        available = self.available()
        if available <= 0:
            return left
        if self.leased or self._sharing.alone or self._room(now) > 0:
            return 0.0
        if available <= self._reserve():
            return left
        return min(left, max(0.0, self._seen_at + self.span() * _BLIND - now))

    def available(self) -> float:
        """Calls that may still be made in this window, as far as it is known."""
        if self.remaining is None:
            return math.inf
        left = self.remaining - self._spent
        return left if self._share >= 1 else min(left, self._limit * self._share - self._spent_in_window)

    def pace(self, now: float) -> float | None:
        """Return the calls a second that spread what is left over the window, the user's own limit at the most.

        `None` is for a window that is not spread. One that others use too is spread over the horizon at the most.
        """
        self._roll(now)
        sharing = self._sharing
        if self.period > self._horizon and sharing.alone:
            return self.most
        if self.remaining is None or self.reset_at is None:
            pace = self._share * self._limit / self.span()
        elif sharing.alone:
            pace = max(self.available(), 1.0) / max(self.reset_at - now, 0.01)
        else:
            pace = max(self._room(now), 0.25) / max(min(self.reset_at - now, self._horizon), 0.01)
        pace *= sharing.part
        return pace if self.most is None else min(pace, self.most)

    def span(self) -> float:
        """The seconds over which a whole quota is spread."""
        return min(self.period, self._horizon)

    def _reserve(self) -> float:
        """Calls of a shared quota that are left to those whose calls we have not seen yet."""
        return 1 + _RESERVE * self._limit

    def _room(self, now: float) -> float:
        """Calls of a shared quota that all may make, as far as can be guessed."""
        return self.available() - self._sharing.others * (now - self._seen_at) - self._reserve()

    def _roll(self, now: float) -> None:
        """Forget a window that has ended."""
        if self.reset_at is not None and now >= self.reset_at:
            self._end()

    def _end(self) -> None:
        self._ended, self._late = self._key, self._spent
        self.reset_at = self._key = self.ends = None
        self._placed_until = -math.inf
        self.remaining = None
        self._guessed = False
        self._spent_in_window = self._spent

    def _shorten(self, now: float) -> None:
        """Wait no longer than a window that turned out to be shorter."""
        latest = now + self.period
        self._hold_until = min(self._hold_until, latest)
        if self.reset_at is not None and self.reset_at > latest:
            self.reset_at, self.ends, self._guessed = latest, None, True  # the next reply tells when it really ends
            self._placed_until = -math.inf

    def jitter(self) -> float:
        """The seconds over which those who wait for one reset come back."""
        return min(2.0, self.period / 20)

    def _count(self, remaining: int, now: float) -> float:
        """Take in a count; returns the calls left. Replies overtake each other: the smallest count is the newest.

        As many larger ones may follow it as calls were under way when it came. One more shows that the limit was
        raised, or that another server counts.
        """
        known, spent = self.remaining, self._spent
        if known is None:
            if self.reset_at is None:
                self.reset_at, self._guessed = now + min(self.period, _LONGEST_GUESS), True
            self._answered_before = self.answered
            self._limit = 1.0
            self._sharing.begin(remaining, now, self.span())
        self.answered += 1
        if known is not None and remaining > known and self._overtaken > 0:
            self._overtaken -= 1
            remaining = known
        else:
            if now >= self._sharing.due:
                left = min((self.reset_at or now) - now, self._horizon)
                self._sharing.look(remaining, spent, now, left, self.span())
            self.remaining, self._overtaken, self._seen_at = remaining, spent, now
        if (limit := remaining + self._spent_in_window - spent) > self._limit:
            self._limit = limit
        return remaining - spent if self._share >= 1 else self.available()
