"""The short way of a reply that differs from the last one in its count alone leads where the long one leads."""

from __future__ import annotations

import email.utils
import math
import random
from collections.abc import Callable, Iterator

import pytest

from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.quota_headers import QuotaReader
from dfinery_async.core.reply import RawHeaders

NOON = 1_800_000_000.0
Step = tuple[float, str, RawHeaders]


def replies(seed: int) -> Iterator[Step]:
    """Times, what happens then, and the headers of a reply: mostly alike, with all that may change now and then."""
    chance = random.Random(seed)
    now, left, period, limit = 0.0, 500, 60.0, "1m"
    dated, late = chance.random() < 0.7, False
    for _ in range(300):
        now += chance.choice((0.0, 0.001, 0.01, 0.4, 3.0))
        if chance.random() < 0.02:
            period, limit = chance.choice(((60.0, "1m"), (3600.0, "1H"), (10.0, "10s")))
        if chance.random() < 0.03:
            left = chance.randrange(1000)
        left = max(0, left - chance.randrange(3))
        end = (NOON + now) // period * period + period * (0 if late else 1)
        late = chance.random() < 0.05
        headers = [(b"X-RateLimit-Limit", limit.encode()), (b"X-RateLimit-Remaining", str(left).encode())]
        if chance.random() < 0.95:
            headers.append((b"X-RateLimit-Reset", b"%d" % end))
        if dated:
            headers.insert(0, (b"Date", email.utils.formatdate(NOON + now, usegmt=True).encode()))
        if chance.random() < 0.05:
            headers.append((b"X-RateLimit-Remaining", b"7"))
        if chance.random() < 0.1:
            headers.append((b"x-request-id", b"%d" % chance.randrange(10**6)))
        yield now, chance.choice(("spend", "reply", "reply", "forget")), headers


def look(window: QuotaWindow, now: float) -> tuple[object, ...]:
    return window.wait(now), window.pace(now), window.available(), window.remaining, window.reset_at, window.period


def short(window: QuotaWindow, reader: QuotaReader, headers: RawHeaders, now: float) -> bool:
    """What the pacer does. Returns whether the short way was enough."""
    remaining = reader.recount(headers)
    if remaining is not None and (left := window.recount(remaining, now)) is not None:
        assert left == window.available()
        return True
    window.observe(reader.read(headers, NOON + now), now)
    return False


def differ(seed: int, take_in: Callable[[QuotaWindow, QuotaReader, RawHeaders, float], bool]) -> tuple[bool, int]:
    """Whether a window that takes the short way is ever seen to differ from one that does not; how often it went."""
    share = (1.0, 0.5)[seed % 2]
    quick, slow = (QuotaWindow(500, 60.0, share=share) for _ in range(2))
    readers, went = (QuotaReader(), QuotaReader()), 0
    for now, what, headers in replies(seed):
        if what == "reply":
            went += take_in(quick, readers[0], headers, now)
            slow.observe(readers[1].read(headers, NOON + now), now)
        else:
            for window in (quick, slow):
                (window.spend if what == "spend" else window.forget)()
        if look(quick, now) != look(slow, now):
            return True, went
    return False, went


def test_both_ways_lead_to_the_same() -> None:
    short_ways = 0
    for seed in range(100):
        differs, went = differ(seed, short)
        assert not differs, seed
        short_ways += went
    assert short_ways > 2500


def test_a_count_that_is_none_is_left_to_the_long_way() -> None:
    reader = QuotaReader()
    headers = [(b"x-ratelimit-limit", b"1m"), (b"x-ratelimit-remaining", b"5")]
    reader.read(headers, NOON)

    assert reader.recount(headers) == 5
    assert reader.recount([headers[0], (b"x-ratelimit-remaining", b"many")]) is None
    assert reader.recount(headers[:1]) is None


def test_a_window_knows_how_many_replies_it_has_counted() -> None:
    window, reader = QuotaWindow(500, 60.0), QuotaReader()

    def reply(remaining: int, reset: int, now: float) -> None:
        headers = [
            (b"x-ratelimit-limit", b"1m"),
            (b"x-ratelimit-remaining", b"%d" % remaining),
            (b"x-ratelimit-reset", b"%d" % (NOON + reset)),
        ]
        short(window, reader, headers, now)

    for number in range(3):
        reply(499 - number, 60, float(number))
    assert (window.heard, window.answered) == (3, 3)
    reply(499, 120, 61.0)
    assert (window.heard, window.answered) == (1, 4)


def _takes_any(window: QuotaWindow, reader: QuotaReader, headers: RawHeaders, now: float) -> bool:
    counts = [int(value) for name, value in headers if name == b"X-RateLimit-Remaining"]
    if window.recount(counts[0], now) is not None:
        return True
    window.observe(reader.read(headers, NOON + now), now)
    return False


def _forgets_the_window(window: QuotaWindow, reader: QuotaReader, headers: RawHeaders, now: float) -> bool:
    remaining = reader.recount(headers)
    if remaining is not None:
        window._placed_until = math.inf
    return short(window, reader, headers, now)


@pytest.mark.parametrize("bug", [_takes_any, _forgets_the_window])
def test_a_way_that_is_too_short_is_found_out(
    bug: Callable[[QuotaWindow, QuotaReader, RawHeaders, float], bool],
) -> None:
    assert any(differ(seed, bug)[0] for seed in range(100))
