"""Windows of quota: what the headers of replies say, and what may be sent.

The vendor's pages disagree about names, units and letters (API guide, "Request Limit"), so headers are read in every
form, and what makes no sense is ignored. A reset is a wall-clock moment of the server's; it is turned into a monotonic
time at once, by the `Date` of the same reply where there is one, and clamped to the window's length.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import math
import re

import msgspec

from dfinery_async.core.reply import Headers, RawHeaders

__all__ = ["Observation", "QuotaReader", "QuotaWindow", "read_headers", "read_retry_after", "server_time"]

_PERIOD = re.compile(r"\s*([0-9]{1,6})\s*([A-Za-z])\s*")
_GROUPED = re.compile(r"\s*[0-9]{1,3}(,[0-9]{3})+\s*")  # `1,000` is one number for people, not two for us
_SECONDS = {"y": 31_536_000, "Y": 31_536_000, "d": 86_400, "D": 86_400, "H": 3_600, "h": 3_600, "m": 60, "s": 1, "S": 1}
_MONTH = 2_592_000
_LONGEST_MINUTE_RESET = 7_200  # `1M` is a minute if the window ends within two hours, else a month
_MILLISECONDS_FROM = 1e11
_LATEST = 4.0e9  # seconds since 1970; anything later is no reset
_LARGEST_COUNT = 10**12
_LONGEST_COUNT = 13
_LONGEST_RETRY_AFTER = 3600.0
_NOT_OURS, _OURS, _COUNTS = 0, 1, 2
_MOST_NAMES = 64  # of headers that a reader keeps in mind
_LONGEST_GUESS = 60.0  # where a reply counts but names no reset, the count is believed for this long


class Observation(msgspec.Struct, frozen=True):
    """What one reply says of the quota; `None` where it says nothing that makes sense.

    Attributes:
        period: length of the window in seconds.
        remaining: calls left in the window.
        reset_in: seconds until the window ends, by the server's clock.
    """

    period: float | None = None
    remaining: int | None = None
    reset_in: float | None = None


_NOTHING = Observation()


def read_headers(headers: Headers, wall: float) -> Observation:
    """Read the quota headers of one reply. `wall` is our clock, used where the reply has no `Date`."""
    periods: list[str] = []
    remaining: list[int] = []
    resets: list[float] = []
    for name, value in headers:
        if not name.startswith("x-rate"):
            continue
        kind = _quota_kind(name)
        if _GROUPED.fullmatch(value):
            continue
        for part in value.split(","):
            if kind == "limit":
                periods.append(part)
            elif kind == "remaining" and (count := _count(part)) is not None:
                remaining.append(count)
            elif kind in {"reset", "rest"} and (moment := _moment(part)) is not None:
                resets.append(moment)
    if not (periods or remaining or resets):
        return _NOTHING
    reset_in = max(resets) - server_time(headers, wall) if resets else None
    period = next((seconds for text in periods if (seconds := _period(text, reset_in)) is not None), None)
    return Observation(period, min(remaining, default=None), reset_in)


class QuotaReader:
    """Reads the quota headers of one reply after another, decoded or as they came.

    Replies mostly differ in the count of calls left, and in nothing else within a second: only what differs is read.
    """

    def __init__(self) -> None:
        self._kinds: dict[str | bytes, int] = {}
        self._same: list[tuple[str, str] | tuple[bytes, bytes]] = []
        self._period: float | None = None
        self._reset: float | None = None  # by the server's clock
        self._date: float | None = None

    def read(self, headers: Headers | RawHeaders, wall: float) -> Observation:
        """Read the quota headers of one reply, as `read_headers` does."""
        kinds = self._kinds
        count: str | bytes = ""
        same: list[tuple[str, str] | tuple[bytes, bytes]] = []
        for pair in headers:
            kind = kinds.get(pair[0])
            if kind is None:
                kind = self._kind(pair[0])
            if kind == _COUNTS and not count:
                count = pair[1]
            elif kind:
                same.append(pair)
        if same == self._same and same and count.isdigit() and count.isascii() and len(count) < _LONGEST_COUNT:
            reset_in = None
            if self._reset is not None:
                reset_in = self._reset - (wall if self._date is None else self._date)
            return Observation(self._period, int(count), reset_in)
        return self._read_all(headers, same, wall)

    def _read_all(
        self, headers: Headers | RawHeaders, same: list[tuple[str, str] | tuple[bytes, bytes]], wall: float
    ) -> Observation:
        decoded = [(_text(name).lower(), _text(value)) for name, value in headers]
        seen = read_headers(decoded, wall)
        dates = [value for name, value in decoded if name == "date"]
        counts = [value for name, value in decoded if self._kind(name) == _COUNTS]
        self._same = same if len(counts) == 1 else []  # of several counts the smallest one counts
        self._date = _parse_date(dates[0]) if dates else None
        self._period = seen.period
        self._reset = None
        if seen.reset_in is not None:
            self._reset = seen.reset_in + (wall if self._date is None else self._date)
        return seen

    def _kind(self, raw: str | bytes) -> int:
        name = _text(raw).lower()
        kind = _NOT_OURS
        if name.startswith("x-rate"):
            kind = _COUNTS if _quota_kind(name) == "remaining" else _OURS
        elif name == "date":
            kind = _OURS
        if len(self._kinds) < _MOST_NAMES:
            self._kinds[raw] = kind
        return kind


def read_retry_after(headers: Headers, wall: float) -> float | None:
    """Read `Retry-After` as seconds from now, an hour at the most; `None` where there is none that makes sense.

    It may be seconds or an HTTP date. The vendor's pages do not mention it, but gateways in front of an API send it.
    """
    for name, value in headers:
        if name == "retry-after":
            count = _count(value)
            seconds = float(count) if count is not None else _http_date(value, math.nan) - server_time(headers, wall)
            return min(seconds, _LONGEST_RETRY_AFTER) if seconds >= 0 else None
    return None


def server_time(headers: Headers, wall: float) -> float:
    """Return the server's clock by the `Date` of a reply, or ours where there is none."""
    for name, value in headers:
        if name == "date":
            return _http_date(value, wall)
    return wall


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
        self.most: float | None = most
        self._limit = float(limit)
        self._share = share
        self._horizon = horizon
        self._guessed = False  # whether `reset_at` is our own guess
        self._spent = 0  # calls that no reply has counted yet
        self._spent_in_window = 0
        self._overtaken = 0  # of those, how many the server may have counted before `remaining` was the count
        self._hold_until = -math.inf

    def spend(self) -> None:
        """Note that a call is made."""
        self._spent += 1
        self._spent_in_window += 1

    def forget(self) -> None:
        """Note that a call was not made after all, or got no reply that could count it."""
        self._spent = max(0, self._spent - 1)
        self._spent_in_window = max(self._spent, self._spent_in_window - 1)

    def observe(self, seen: Observation, now: float) -> None:
        """Take in what a reply says; the reply has counted its own call."""
        self._roll(now)
        self._spent = max(0, self._spent - 1)
        if seen.period is not None:
            self.observed = True
            if seen.period != self.period:
                self.period = seen.period
                self._shorten(now)
        if seen.reset_in is not None and seen.reset_in > 0:
            reset_at = now + min(seen.reset_in, self.period)
            if self.reset_at is None or self._guessed:
                self.reset_at, self._guessed = reset_at, False
            elif reset_at > self.reset_at + self.period / 2:
                self._end()
                self._spent_in_window += 1
                self.reset_at = reset_at
            elif reset_at < self.reset_at - self.period / 2:
                return  # a late reply of the window before: its count says nothing of this one
        if seen.remaining is not None:
            self._count(seen.remaining, now)

    def throttled(self, now: float, fallback: float, chance: float) -> float:
        """Note an answer that said "too many requests". Returns the monotonic time from which calls may go again.

        Args:
            now: monotonic time.
            fallback: seconds to hold where the end of the window is not known.
            chance: uniform in [0, 1): clients that wait for the same reset must not come back as one.
        """
        self._roll(now)
        until = (
            self.reset_at + chance * self._spread() if self.reset_at is not None else now + min(fallback, self.period)
        )
        self._hold_until = max(self._hold_until, until)
        return self._hold_until

    def wait(self, now: float) -> float:
        """Return the seconds until a call may be made; 0 is now."""
        self._roll(now)
        if self._hold_until > now:
            return self._hold_until - now
        if self.available() > 0 or self.reset_at is None:
            return 0.0
        return self.reset_at - now

    def available(self) -> float:
        """Calls that may still be made in this window, as far as it is known."""
        if self.remaining is None:
            return math.inf
        left = float(self.remaining - self._spent)
        return left if self._share >= 1 else min(left, self._limit * self._share - self._spent_in_window)

    def pace(self, now: float) -> float | None:
        """Return the calls a second that spread what is left over the window, the user's own limit at the most.

        `None` is for a window that is not spread.
        """
        self._roll(now)
        if self.period > self._horizon:
            return self.most
        if self.remaining is None or self.reset_at is None:
            pace = self._share * self._limit / self.period
        else:
            pace = max(self.available(), 1.0) / max(self.reset_at - now, 0.01)
        return pace if self.most is None else min(pace, self.most)

    def _roll(self, now: float) -> None:
        """Forget a window that has ended."""
        if self.reset_at is not None and now >= self.reset_at:
            self._end()

    def _end(self) -> None:
        self.reset_at = None
        self.remaining = None
        self._guessed = False
        self._spent_in_window = self._spent

    def _shorten(self, now: float) -> None:
        """Wait no longer than a window that turned out to be shorter."""
        latest = now + self.period
        self._hold_until = min(self._hold_until, latest + self._spread())
        if self.reset_at is not None and self.reset_at > latest:
            self.reset_at, self._guessed = latest, True  # the next reply tells when it really ends

    def _spread(self) -> float:
        return min(2.0, self.period / 20)

    def _count(self, remaining: int, now: float) -> None:
        """Take in a count. Replies overtake each other: within a window the smallest count is the newest.

        As many larger ones may follow it as calls were under way when it came. One more shows that the limit was
        raised, or that another server counts.
        """
        if self.reset_at is None:
            self.reset_at, self._guessed = now + min(self.period, _LONGEST_GUESS), True
        known = 1.0 if self.remaining is None else self._limit
        if self.remaining is not None and remaining > self.remaining and self._overtaken > 0:
            self._overtaken -= 1
        else:
            self.remaining = remaining
            self._overtaken = self._spent
        self._limit = max(known, self.remaining + self._spent_in_window - self._spent)


def _text(raw: str | bytes) -> str:
    return raw if isinstance(raw, str) else raw.decode("latin-1")


def _quota_kind(name: str) -> str:
    return name.replace("-", "")[len("xratelimit") :]


def _http_date(text: str, default: float) -> float:
    moment = _parse_date(text)
    return default if moment is None else moment


@functools.lru_cache(maxsize=4)  # all replies of a second carry the same
def _parse_date(text: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser lets its slips through
        return None


def _count(text: str) -> int | None:
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_COUNT:
        return None
    count = int(text)
    return count if count <= _LARGEST_COUNT else None


def _moment(text: str) -> float | None:
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        return None
    moment = float(text)
    while moment >= _MILLISECONDS_FROM:
        moment /= 1000
    return moment if 0 < moment < _LATEST else None


def _period(text: str, reset_in: float | None) -> float | None:
    found = _PERIOD.fullmatch(text)
    if found is None:
        return None
    count, letter = int(found[1]), found[2]
    if letter == "M":
        if reset_in is None:
            return None
        unit = 60 if reset_in <= _LONGEST_MINUTE_RESET else _MONTH
    else:
        unit = _SECONDS.get(letter, 0)
    return float(count * unit) or None
