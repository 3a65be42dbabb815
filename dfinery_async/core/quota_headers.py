"""What the headers of replies say of the quota.

The vendor's pages disagree about names, units and letters (API guide, "Request Limit"), so headers are read in every
form, and what makes no sense is ignored. A reset is a wall-clock moment of the server's; it is turned into a monotonic
time at once, by the `Date` of the same reply where there is one.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import math
import re

import msgspec

from dfinery_async.core.reply import Headers, RawHeaders

__all__ = ["Observation", "QuotaReader", "read_headers", "read_retry_after", "server_time"]

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


class Observation(msgspec.Struct, frozen=True):
    """What one reply says of the quota; `None` where it says nothing that makes sense.

    Attributes:
        period: length of the window in seconds.
        remaining: calls left in the window.
        reset_in: seconds until the window ends, by the server's clock.
        reset: when it ends, on the server's clock: all replies of one window name the same moment.
        dated: whether `reset_in` was told by the server's clock, and not by ours.
    """

    period: float | None = None
    remaining: int | None = None
    reset_in: float | None = None
    reset: float | None = None
    dated: bool = False


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
    date = _date(headers)
    reset = max(resets, default=None)
    reset_in = None if reset is None else reset - (wall if date is None else date)
    period = next((seconds for text in periods if (seconds := _period(text, reset_in)) is not None), None)
    return Observation(period, min(remaining, default=None), reset_in, reset, reset is not None and date is not None)


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
        self._dated = False
        self._at = -1  # which header has the count, in the last reply that was read whole; and its name
        self._name: str | bytes = ""
        self._frame: list[tuple[str, str] | tuple[bytes, bytes]] = []  # all headers of that reply

    def recount(self, headers: Headers | RawHeaders) -> int | None:
        """Return the count of a reply that differs from the last one read in nothing else; `None` for any other."""
        at, frame = self._at, self._frame
        if at < 0 or len(headers) != len(frame):
            return None
        name, count = frame[at] = headers[at]  # so that one comparison of the lists compares all the others
        if headers == frame and name == self._name and count.isdigit() and count.isascii():
            return int(count) if len(count) < _LONGEST_COUNT else None
        return None

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
            return Observation(self._period, int(count), reset_in, self._reset, self._dated)
        return self._read_all(headers, same, wall)

    def _read_all(
        self, headers: Headers | RawHeaders, same: list[tuple[str, str] | tuple[bytes, bytes]], wall: float
    ) -> Observation:
        decoded = [(_text(name).lower(), _text(value)) for name, value in headers]
        seen = read_headers(decoded, wall)
        dates = [value for name, value in decoded if name == "date"]
        counts = [at for at, (name, _) in enumerate(decoded) if self._kind(name) == _COUNTS]
        self._same = same if len(counts) == 1 else []  # of several counts the smallest one counts
        self._at, self._name = (counts[0], headers[counts[0]][0]) if self._same else (-1, "")
        self._frame = list(headers)
        self._date = _parse_date(dates[0]) if dates else None
        self._period, self._reset, self._dated = seen.period, seen.reset, seen.dated
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
            seconds = (
                float(count) if count is not None else (_parse_date(value) or math.nan) - server_time(headers, wall)
            )
            return min(seconds, _LONGEST_RETRY_AFTER) if seconds >= 0 else None
    return None


def server_time(headers: Headers, wall: float) -> float:
    """Return the server's clock by the `Date` of a reply, or ours where there is none."""
    date = _date(headers)
    return wall if date is None else date


def _text(raw: str | bytes) -> str:
    return raw if isinstance(raw, str) else raw.decode("latin-1")


def _quota_kind(name: str) -> str:
    return name.replace("-", "")[len("xratelimit") :]


def _date(headers: Headers) -> float | None:
    return next((_parse_date(value) for name, value in headers if name == "date"), None)


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
