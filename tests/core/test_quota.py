"""Quota windows: headers in every form, and waits that are neither too long nor for ever, whatever the replies say."""

from __future__ import annotations

import email.utils
import heapq
import itertools
import math
import random
from typing import Any

import pytest
import samples
from hypothesis import given, settings, strategies as st

from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.quota_headers import Observation, QuotaReader, read_headers, server_time

RESET = 1719397769  # as the guide's prose prints it: 2024-06-26T10:29:29Z
NOW = RESET - 60.0
MINUTE, HOUR, DAY, MONTH, YEAR = 60.0, 3600.0, 86400.0, 2592000.0, 31536000.0
NOTHING = Observation()


def read(wall: float = NOW, /, **headers: Any) -> Observation:
    return read_headers([(f"x-ratelimit-{name}", str(value)) for name, value in headers.items()], wall)


# --- headers


def test_the_vendors_samples_are_read() -> None:
    good, refused = (
        read_headers(sample, 1682593200.0) for sample in (samples.LIMIT_HEADERS, samples.LIMIT_HEADERS_OF_429)
    )

    assert (good.period, good.remaining) == (DAY, 99999)
    assert (refused.period, refused.remaining) == (DAY, 0)
    assert [good.reset_in, refused.reset_in] == pytest.approx([0.268, 46800])


@pytest.mark.parametrize(
    "names",
    [
        ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
        ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"),
        ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-rest"),
        ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-rest"),
    ],
)
def test_every_spelling_of_the_names_is_read(names: tuple[str, str, str]) -> None:
    headers = list(zip(names, ("1m", "998", str(RESET)), strict=True))

    assert read_headers([("date", "x"), *headers, ("server", "x")], NOW) == Observation(MINUTE, 998, 60.0, RESET)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "application/json")],
        [("ratelimit-limit", "1m"), ("x-limit-remaining", "1"), ("x-rate-limit", "1m"), ("x-ratelimit-used", "7")],
        [("x-rate", "1"), ("x-rate-", "1"), ("x-ratelimit", "1"), ("x-rates-remaining", "1")],
    ],
)
def test_other_headers_say_nothing(headers: list[tuple[str, str]]) -> None:
    assert read_headers(headers, NOW) == NOTHING


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("1S", 1.0),
        ("60s", 60.0),
        ("1m", MINUTE),
        (" 1m ", MINUTE),
        ("1 m", MINUTE),
        ("10m", 600.0),
        ("1h", HOUR),
        ("1H", HOUR),
        ("1d", DAY),
        ("1D", DAY),
        ("1y", YEAR),
        ("1Y", YEAR),
        ("1M", MINUTE),  # the reset is a minute away
        ("0m", None),
        ("-1m", None),
        ("m", None),
        ("1", None),
        ("1000000", None),
        ("1w", None),
        ("1mm", None),
        ("1.5m", None),
        ("1 0m", None),
        ("\u0661m", None),
        ("9999999m", None),
        ("1e3s", None),
        ("", None),
        ("per minute", None),
        ("1m;w=60", None),
    ],
)
def test_periods_are_read(text: str, seconds: float | None) -> None:
    assert read(limit=text, reset=RESET).period == seconds


@pytest.mark.parametrize(
    ("reset_in", "seconds"),
    [(1, MINUTE), (60, MINUTE), (7200, MINUTE), (7201, MONTH), (20 * DAY, MONTH), (-5, MINUTE)],
)
def test_a_large_m_is_a_minute_when_the_window_ends_soon_and_else_a_month(reset_in: float, seconds: float) -> None:
    assert read(RESET - reset_in, limit="1M", reset=RESET).period == seconds


@pytest.mark.parametrize(
    "headers", [{"limit": "1M"}, {"limit": "1M", "remaining": 5}, {"limit": "1M", "reset": "soon"}]
)
def test_a_large_m_without_a_reset_says_nothing(headers: dict[str, Any]) -> None:
    assert read(**headers).period is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("99999", 99999),
        (" 7 ", 7),
        ("1000000000000", 10**12),
        ("1000000000001", None),
        ("-1", None),
        ("+1", None),
        ("1,000", None),
        ("12,345,678", None),
        ("1e3", None),
        ("1.0", None),
        ("1_000", None),
        ("\u0663", None),
        ("\u00b2", None),
        ("NaN", None),
        ("", None),
        ("9" * 400, None),
        ("none", None),
        ("5, 3, 4", 3),
        ("5,3", 3),
        ("5, x", 5),
    ],
)
def test_counts_are_read(text: str, count: int | None) -> None:
    assert read(remaining=text).remaining == count


@pytest.mark.parametrize(
    ("text", "reset_in"),
    [
        (RESET, 60.0),
        (RESET * 1000, 60.0),
        (RESET * 1000 + 268, 60.268),
        (RESET * 1_000_000, 60.0),
        (f" {RESET} ", 60.0),
        (0, None),
        (f"{RESET}.5", None),
        (-RESET, None),
        (f"+{RESET}", None),
        ("2024-06-26T10:29:29Z", None),
        ("Wed, 26 Jun 2024 10:29:29 GMT", None),
        ("1,719,397,769", None),
        ("\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660", None),
        ("NaN", None),
        ("", None),
        (4_000_000_000, None),
        (RESET * 1_000_000_000, None),
        ("9" * 400, None),
        (f"{RESET}, {RESET + 30}", 90.0),
    ],
)
def test_resets_are_read_in_seconds_milliseconds_and_microseconds(text: Any, reset_in: float | None) -> None:
    seen = read(reset=text).reset_in

    assert seen == (None if reset_in is None else pytest.approx(reset_in))


def test_a_reset_that_is_a_number_of_seconds_lies_in_the_past() -> None:
    seen = read(reset=60).reset_in

    assert seen is not None
    assert seen < 0


def test_of_headers_that_differ_the_stricter_ones_count() -> None:
    headers = [
        ("x-ratelimit-limit", "soon"),
        ("x-ratelimit-remaining", "500"),
        ("x-ratelimit-reset", str(RESET)),
        ("x-rate-limit-limit", "1m"),
        ("x-rate-limit-limit", "1h"),
        ("x-rate-limit-remaining", "20"),
        ("x-rate-limit-remaining", "many"),
        ("x-rate-limit-rest", str((RESET + 5) * 1000)),
    ]

    assert read_headers(headers, NOW) == Observation(MINUTE, 20, 65.0, RESET + 5.0)


@pytest.mark.parametrize("skew", [-600, 600, -YEAR, YEAR, -1.7e9])
def test_the_servers_clock_counts_and_not_ours(skew: float) -> None:
    headers = [
        ("date", email.utils.formatdate(NOW, usegmt=True)),
        ("x-ratelimit-limit", "1m"),
        ("x-ratelimit-remaining", "7"),
        ("x-ratelimit-reset", str(RESET)),
    ]

    assert read_headers(headers, NOW + skew) == Observation(MINUTE, 7, 60.0, RESET, dated=True)


@pytest.mark.parametrize("skew", [-600.0, 600.0, -YEAR, YEAR])
def test_without_the_servers_clock_a_wait_is_at_most_the_period(skew: float) -> None:
    window = QuotaWindow(10, MINUTE)
    window.observe(read(NOW + skew, limit="1m", remaining=0, reset=RESET), 0.0)

    assert (window.wait(0.0) > 0) is (skew < 0)  # what seems to be past is no time to wait for
    assert window.wait(0.0) <= MINUTE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Wed, 26 Jun 2024 10:28:29 GMT", NOW),
        ("Wed, 26 Jun 2024 10:28:29 -0000", NOW),
        ("Wed, 26 Jun 2024 19:28:29 +0900", NOW),
        ("26 Jun 2024 10:28:29", NOW),
        ("Wednesday, 26-Jun-24 10:28:29 GMT", NOW),
        *(
            (text, 7.0)
            for text in ("", "x", "2024-06-26T10:28:29Z", "0", "Wed, 99 Jun 2024 10:28:29 GMT", ",", "1 Jun")
        ),
        ("Wed, 26 Jun 99999 10:28:29 GMT", 7.0),
    ],
)
def test_the_servers_clock_is_read(text: str, seconds: float) -> None:
    assert (
        server_time([("content-type", "x"), ("date", text), ("date", "Mon, 01 Jan 2001 00:00:00 GMT")], 7.0) == seconds
    )


NAMES = st.sampled_from(
    [
        "date",
        *(
            f"x-{spelling}-{kind}"
            for spelling in ("ratelimit", "rate-limit")
            for kind in ("limit", "remaining", "reset")
        ),
        "x-rate-limit-rest",
        "x-rate",
    ]
)
NUMBERS = st.integers(-(10**20), 10**20).map(str)
TEXTS = st.sampled_from(["1m", "1M", "1d", "1H", "0", "5", str(RESET), str(RESET * 1000), "1,000", "NaN"])
DATES = st.floats(-1e12, 1e12).map(
    lambda seconds: f"Wed, 26 Jun {int(abs(seconds))} 10:28:29 +{int(abs(seconds)) % 9999:04}"
)
HEADERS = st.lists(st.tuples(NAMES, TEXTS | NUMBERS | DATES | st.text(max_size=12)), max_size=6)


@settings(max_examples=500)
@given(HEADERS, st.floats(-1e12, 1e12))
def test_any_headers_can_be_read(headers: list[tuple[str, str]], wall: float) -> None:
    seen = read_headers(headers, wall)

    assert seen.period is None or 0 < seen.period < math.inf
    assert seen.remaining is None or 0 <= seen.remaining <= 10**12
    assert seen.reset_in is None or math.isfinite(seen.reset_in)


@given(st.text(max_size=40))
def test_any_date_can_be_read(text: str) -> None:
    assert math.isfinite(server_time([("date", text)], 7.0))


# --- one reply after another

REPLY_DATES = [email.utils.formatdate(NOW + second, usegmt=True) for second in range(2)]
HEADER = (
    st.tuples(st.sampled_from(["date"]), st.sampled_from([*REPLY_DATES, "soon"]))
    | st.tuples(st.sampled_from(["x-ratelimit-limit", "x-rate-limit-limit"]), st.sampled_from(["1m", "1d", "1M", "?"]))
    | st.tuples(
        st.sampled_from(["x-ratelimit-remaining", "x-rate-limit-remaining"]),
        st.sampled_from(["0", "7", "8", "", " 9", "1,000", "5,6", "\u0663", "\u00b2", "-1", "1" * 13, "9" * 13]),
    )
    | st.tuples(st.sampled_from(["x-ratelimit-reset"]), st.sampled_from([str(RESET), str(RESET * 1000 + 5), "soon"]))
    | st.tuples(st.sampled_from(["server", "x-request-id"]), st.sampled_from(["a", "b"]))
)
USUAL = [
    ("date", REPLY_DATES[0]),
    ("server", "x"),
    ("x-ratelimit-limit", "1m"),
    ("x-ratelimit-remaining", "998"),
    ("x-ratelimit-reset", str(RESET)),
]


def like_the_one_before(chance: random.Random, reply: list[tuple[str, str]], header: tuple[str, str]) -> Any:
    """Change one thing of a reply, or nothing: what a reader remembers shows only in replies that are alike."""
    changed = list(reply)
    match chance.randrange(4):
        case 0:
            changed.insert(chance.randrange(len(changed) + 1), header)
        case 1 if changed:
            changed[chance.randrange(len(changed))] = header
        case 2 if changed:
            changed.pop(chance.randrange(len(changed)))
        case _:
            changed = [(name, str(chance.randrange(50))) if "remaining" in name else (name, v) for name, v in changed]
    return changed


def misread(reader: QuotaReader, seed: int, headers: list[tuple[str, str]]) -> bool:
    chance = random.Random(seed)
    reply = list(USUAL)
    for step, header in enumerate(headers):
        raw = [(name.title().encode(), value.encode("utf-8")) for name, value in reply]
        wall = NOW + step % 3
        text = [(name, value.encode().decode("latin-1")) for name, value in reply]
        if reader.read(raw if seed % 2 else text, wall) != read_headers(text, wall):
            return True
        reply = like_the_one_before(chance, reply, header)
    return False


@given(st.integers(), st.lists(HEADER, min_size=5, max_size=20))
def test_a_reader_reads_every_reply_as_if_it_were_the_first(seed: int, headers: list[tuple[str, str]]) -> None:
    assert not misread(QuotaReader(), seed, headers)


def _forgets_the_date(reader: QuotaReader) -> None:
    kind = reader._kind

    def careless(raw: str | bytes) -> int:
        if raw in {"date", b"Date"}:
            reader._kinds[raw] = 0
        return 0 if raw in {"date", b"Date"} else kind(raw)

    reader._kind = careless  # type: ignore[method-assign]


def _always_remembers(reader: QuotaReader) -> None:
    read_all = reader._read_all

    def careless(headers: Any, same: Any, wall: float) -> Observation:
        seen = read_all(headers, same, wall)
        reader._same = same
        return seen

    reader._read_all = careless  # type: ignore[method-assign]


@pytest.mark.parametrize("bug", [_forgets_the_date, _always_remembers])
def test_a_reader_that_remembers_too_much_is_found_out(bug: Any) -> None:
    others: Any = [("date", REPLY_DATES[1]), ("x-rate-limit-remaining", "3"), ("date", "soon"), ("server", "b")] * 5

    def careless() -> QuotaReader:
        reader = QuotaReader()
        bug(reader)
        return reader

    assert any(misread(careless(), seed, others) for seed in range(50))


def test_what_a_reader_has_read_it_does_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = QuotaReader()
    raw = [(name.upper().encode(), value.encode()) for name, value in USUAL]
    assert reader.read(raw, NOW) == Observation(MINUTE, 998, 60.0, RESET, dated=True)
    monkeypatch.delattr(QuotaReader, "_read_all")
    raw[3] = (raw[3][0], b"997")

    assert reader.read(raw, NOW) == Observation(MINUTE, 997, 60.0, RESET, dated=True)


def test_a_reader_keeps_few_names_in_mind() -> None:
    reader = QuotaReader()
    for number in range(1000):
        reader.read([(f"x-trace-{number}", "1"), *USUAL], NOW)

    assert len(reader._kinds) <= 64
    assert reader.read(USUAL, NOW) == Observation(MINUTE, 998, 60.0, RESET, dated=True)


# --- one window


def seen(remaining: int | None = None, reset_in: float | None = None, period: float | None = None) -> Observation:
    return Observation(period, remaining, reset_in)


def test_nothing_known_is_the_nominal_quota_spread_out() -> None:
    window = QuotaWindow(600, MINUTE)

    assert (window.wait(0.0), window.pace(0.0), window.available()) == (0.0, 10.0, math.inf)
    assert (window.remaining, window.reset_at) == (None, None)


def test_what_is_left_is_spread_over_what_is_left_of_the_window() -> None:
    window = QuotaWindow(600, MINUTE)
    window.spend()
    window.observe(seen(100, 20.0, MINUTE), 0.0)

    assert (window.remaining, window.reset_at, window.pace(0.0)) == (100, 20.0, 5.0)
    assert window.pace(10.0) == 10.0
    assert window.pace(19.9999) == 100 / 0.01  # never a division by nearly nothing


def test_a_limit_of_ones_own_bounds_the_pace_whatever_replies_say() -> None:
    window = QuotaWindow(600, MINUTE, most=2.0)

    assert window.pace(0.0) == 2.0
    window.observe(seen(10**6, 30.0), 0.0)
    assert window.pace(0.0) == 2.0
    window.observe(seen(15, 30.0), 0.0)
    assert window.pace(0.0) == 0.5
    assert QuotaWindow(100, HOUR, most=2.0).pace(0.0) == 2.0  # beyond the horizon, too


def test_a_window_beyond_the_horizon_is_not_spread() -> None:
    window = QuotaWindow(100, HOUR)

    assert window.pace(0.0) is None
    window.observe(seen(0, 1000.0), 0.0)
    assert window.pace(0.0) is None
    assert window.wait(0.0) == 1000.0


def test_a_used_up_window_is_waited_out_before_the_next_call() -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(0, 20.0), 0.0)

    assert (window.wait(0.0), window.wait(15.0), window.wait(20.0)) == (20.0, 5.0, 0.0)
    assert window.remaining is None


def test_calls_under_way_count_as_used() -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(3, 20.0), 0.0)
    for _ in range(3):
        assert window.wait(1.0) == 0.0
        window.spend()

    assert window.available() == 0
    assert window.wait(1.0) == 19.0
    window.forget()  # one was not made after all
    assert window.wait(1.0) == 0.0


def test_forgetting_more_than_was_spent_gains_nothing() -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(3, 20.0), 0.0)
    for _ in range(5):
        window.forget()

    assert window.available() == 3


def test_replies_that_overtake_each_other_leave_the_smallest_count() -> None:
    window = QuotaWindow(600, MINUTE)
    for _ in range(4):
        window.spend()
    for remaining in (597, 599, 598, 596):
        window.observe(seen(remaining, 30.0), 0.0)

    assert (window.remaining, window.available()) == (596, 596)


def test_a_raised_limit_is_believed_once_no_older_reply_can_be_meant() -> None:
    window = QuotaWindow(600, MINUTE)
    for _ in range(3):
        window.spend()
    window.observe(seen(10, 30.0), 0.0)  # two more are under way, which the server may have counted before
    window.observe(seen(12, 30.0), 0.0)
    window.observe(seen(11, 30.0), 0.0)
    assert window.remaining == 10

    window.spend()
    window.observe(seen(5000, 29.0), 1.0)
    assert window.remaining == 5000


def test_a_cut_limit_is_believed_at_once() -> None:
    window = QuotaWindow(10_000, MINUTE)
    window.observe(seen(9_999, 60.0), 0.0)
    window.observe(seen(4, 50.0), 10.0)

    assert window.remaining == 4
    assert window.wait(10.0) == 50.0  # as far as we can see, others have used nearly all: the rest is a reserve


def test_the_next_window_begins_with_the_reply_that_names_it() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(0, 2.0), 0.0)
    assert window.wait(0.0) == 2.0
    window.observe(seen(99, 60.0), 1.0)  # our clock was a second late

    assert (window.remaining, window.reset_at, window.wait(1.0)) == (99, 61.0, 0.0)


def test_a_late_reply_of_the_window_before_is_ignored() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(99, 60.0), 0.0)
    window.observe(seen(0, 0.5), 0.5)

    assert (window.remaining, window.wait(0.5)) == (99, 0.0)


def of(window_end: float, remaining: int, reset_in: float, *, dated: bool = True) -> Observation:
    return Observation(MINUTE, remaining, reset_in, window_end, dated=dated)


def test_of_one_windows_replies_the_earliest_end_counts_where_the_servers_clock_tells_it() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(of(1000.0, 99, 31.0), 0.0)
    window.observe(of(1000.0, 98, 30.2), 0.5)  # `Date` has whole seconds: it ends earlier than was thought
    assert window.reset_at == 30.7
    window.observe(of(1000.0, 97, 40.0), 1.0)  # an answer that was long under way
    assert window.reset_at == 30.7
    window.observe(of(1000.0, 96, 10.0, dated=False), 2.0)  # our clock was set
    assert window.reset_at == 30.7


def test_a_reply_that_was_long_under_way_ends_no_window() -> None:
    window = QuotaWindow(100, 1.0)
    window.spend()
    window.spend()
    window.observe(Observation(1.0, 0, 0.4, 1000.0, dated=True), 0.0)
    window.observe(Observation(1.0, 50, 0.9, 1000.0, dated=True), 0.3)  # told half a second before, in whole seconds

    assert window.wait(0.3) == pytest.approx(0.1)


def test_a_late_reply_is_not_taken_for_one_of_the_next_window_until_it_must_be() -> None:
    window = QuotaWindow(100, MINUTE)
    window.spend()
    window.spend()
    window.spend()
    window.observe(of(1000.0, 0, 30.0), 0.0)  # two more are under way
    assert window.wait(31.0) == 0.0
    window.observe(of(1000.0, 0, 1.0), 32.0)
    window.observe(of(1000.0, 0, 1.0), 33.0)
    assert (window.remaining, window.wait(33.0)) == (None, 0.0)

    window.spend()
    window.observe(of(1000.0, 0, 5.0), 34.0)  # it was sent after the end as we saw it: we were too early
    assert window.wait(34.0) == 5.0


NO_END = pytest.mark.parametrize("reset_in", [None, 0.0, -0.005, -1.0, -1e9])


@NO_END
def test_without_a_reset_ahead_a_count_is_spread_for_a_minute_at_most(reset_in: float | None) -> None:
    day = QuotaWindow(100, DAY)
    day.observe(seen(30, reset_in, DAY), 0.0)
    second = QuotaWindow(100, 1.0)
    second.observe(seen(30, reset_in), 0.0)

    assert (day.reset_at, second.reset_at, second.pace(0.0)) == (60.0, 1.0, 30.0)
    assert (day.ends, second.ends) == (None, None)  # nobody has named an end


@NO_END
def test_without_a_reset_ahead_nothing_left_is_no_time_to_wait_for(reset_in: float | None) -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(0, reset_in), 0.0)

    assert (window.wait(0.0), window.pace(0.0), window.remaining, window.reset_at) == (0.0, 10.0, None, None)


@NO_END
def test_a_guess_closes_no_window(reset_in: float | None) -> None:
    window = QuotaWindow(600, MINUTE)
    window.spend()
    window.observe(seen(1, reset_in), 0.0)
    window.spend()
    assert (window.available(), window.wait(1.0)) == (0.0, 0.0)
    window.observe(seen(0, reset_in), 1.0)

    assert (window.remaining, window.reset_at, window.wait(1.0)) == (None, None, 0.0)
    assert window.throttled(1.0, 5.0) == 6.0


def test_a_guess_is_no_time_to_wait_for_after_a_refusal() -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(30), 0.0)

    assert window.throttled(0.0, 5.0) == 5.0


def test_a_reset_replaces_a_guess() -> None:
    window = QuotaWindow(100, DAY)
    window.observe(seen(5, None, DAY), 0.0)
    window.observe(seen(0, 36_000.0, DAY), 1.0)

    assert window.wait(1.0) == 36_000.0


def test_the_end_is_the_one_that_the_server_named_last() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(of(1000.25, 99, 31.0), 0.0)
    assert window.ends == 1000.25
    window.observe(of(1001.0, 98, 30.0), 1.0)  # one that moves
    assert window.ends == 1001.0
    window.observe(of(1001.0, 97, -1.0), 2.0)
    assert window.ends == 1001.0
    window.observe(of(9000.0, 96, 8000.0), 3.0)  # further away than we would wait
    assert (window.ends, window.reset_at) == (9000.0, 63.0)
    assert window.wait(63.0) == 0.0
    assert window.ends is None


@pytest.mark.parametrize("reset_in", [61.0, 1e6, 4e9])
def test_a_reset_too_far_away_is_cut_to_the_period(reset_in: float) -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(0, reset_in), 0.0)

    assert window.wait(0.0) == MINUTE


def test_a_window_that_turns_out_to_be_shorter_shortens_the_wait() -> None:
    window = QuotaWindow(100, DAY)
    window.observe(seen(0, 36_000.0), 0.0)
    window.throttled(0.0, 1.0)
    window.observe(seen(0, None, MINUTE), 10.0)

    assert (window.wait(10.0), window.ends) == (MINUTE, None)
    fresh = QuotaWindow(100, DAY)
    fresh.observe(seen(None, None, MINUTE), 0.0)
    assert (fresh.period, fresh.wait(0.0), fresh.reset_at) == (MINUTE, 0.0, None)


def test_the_limit_is_learned_for_the_pace_of_the_next_window() -> None:
    window = QuotaWindow(1_000_000, MINUTE)
    window.spend()
    window.observe(seen(599, 30.0), 0.0)
    window.spend()
    window.observe(seen(598, 29.0), 1.0)

    assert window.wait(30.0) == 0.0
    assert window.pace(30.0) == 10.0


def test_a_limit_of_nothing_leaves_a_pace() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(0, 10.0), 0.0)

    assert window.pace(10.0) == 1 / 60


# --- too many requests


def test_too_many_requests_are_believed_whatever_remains() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(50, 20.0), 0.0)

    assert window.throttled(0.0, 1.0) == 20.0
    assert (window.wait(0.0), window.wait(19.5), window.wait(20.0)) == (20.0, 0.5, 0.0)


def test_without_a_reset_the_fallback_is_held_at_most_for_the_period() -> None:
    window = QuotaWindow(100, MINUTE)

    assert window.throttled(5.0, 0.8) == 5.8
    assert window.throttled(5.0, 1e6) == 65.0
    assert window.throttled(5.0, 0.1) == 65.0  # never shorter than what is held already


# --- a share of the quota


def test_a_share_is_a_share_of_the_whole_window() -> None:
    window = QuotaWindow(100, MINUTE, share=0.5)
    made = 0
    for number in range(60):
        remaining = 100 - made
        while window.wait(float(number)) == 0.0:
            window.spend()
            made += 1
            remaining -= 1
            window.observe(seen(remaining, 60.0 - number), float(number))

    assert made == 50


def test_a_share_is_spread_over_the_window() -> None:
    window = QuotaWindow(600, MINUTE, share=0.25)

    assert window.pace(0.0) == 2.5
    window.spend()
    window.observe(seen(599, 60.0), 0.0)
    assert window.pace(0.0) == pytest.approx(149 / 60)


def test_a_small_share_is_still_one_call() -> None:
    window = QuotaWindow(1, MINUTE, share=0.01)
    window.observe(seen(1, 60.0), 0.0)

    assert window.wait(0.0) == 0.0
    window.spend()
    assert window.wait(0.0) == 60.0


def test_others_who_use_the_quota_leave_less() -> None:
    window = QuotaWindow(100, MINUTE, share=0.5)
    window.observe(seen(100, 60.0), 0.0)
    window.observe(seen(3, 50.0), 10.0)

    assert window.available() == 3


# --- whatever happens

SECONDS = st.floats(0, 1e5) | st.floats(0, 2)
SEEN = st.builds(
    Observation,
    period=st.none() | st.sampled_from([1.0, MINUTE, HOUR, DAY, MONTH]) | st.floats(1, 1e8),
    remaining=st.none() | st.integers(0, 5) | st.integers(0, 10**12),
    reset_in=st.none() | st.floats(-1e10, 1e10) | st.floats(-2, 120),
)
STEPS = st.lists(
    st.tuples(st.just("observe"), SEEN)
    | st.tuples(st.just("spend"), st.none())
    | st.tuples(st.just("forget"), st.none())
    | st.tuples(st.just("throttled"), st.floats(0, 100))
    | st.tuples(st.just("headers"), HEADERS)
    | st.tuples(st.just("later"), SECONDS),
    max_size=40,
)


def check(window: QuotaWindow, now: float) -> None:
    wait, pace = window.wait(now), window.pace(now)

    assert 0.0 <= wait <= window.period * (1 + 1e-9)
    assert pace is None or 0 < pace < math.inf
    assert (pace is None) is (window.period > 600.0 and window.alone)
    if wait == 0.0 and window.remaining is not None and not window.guessed:
        assert window.available() > 0
    assert window.remaining is None or window.reset_at is not None
    assert window.reset_at is None or window.reset_at > now


@settings(max_examples=500)
@given(STEPS, st.integers(1, 10**6), st.sampled_from([1.0, MINUTE, HOUR]), st.sampled_from([1.0, 0.5, 0.01]))
def test_no_sequence_of_replies_stops_a_window_for_good(steps: Any, limit: int, period: float, share: float) -> None:
    window = QuotaWindow(limit, period, share=share)
    now = 1000.0
    for step, argument in steps:
        match step:
            case "observe":
                window.observe(argument, now)
            case "headers":
                window.observe(read_headers(argument, NOW + now), now)
            case "spend":
                window.spend()
            case "forget":
                window.forget()
            case "throttled":
                assert window.throttled(now, argument) >= now
            case _:
                now += argument
        check(window, now)
    for _ in range(5):
        wait = window.wait(now)
        if wait == 0.0:
            break
        now = math.nextafter(now + wait, math.inf)
        check(window, now)
    assert window.wait(now) == 0.0


# --- against a server with fixed windows


class Server:
    """Counts calls in clock-aligned windows and tells so in its headers."""

    def __init__(self, limit: int, period: int, *, spelling: int, others: float = 0.0) -> None:
        self.limit = limit
        self.period = period
        self.spelling = spelling
        self.others = others
        self.used: dict[int, int] = {}
        self.accepted: dict[int, int] = {}

    def answer(self, now: float, chance: random.Random) -> tuple[bool, list[tuple[str, str]]]:
        number = int(now // self.period)
        while chance.random() < self.others:
            self.used[number] = min(self.limit, self.used.get(number, 0) + 1)
        allowed = self.used.get(number, 0) < self.limit
        if allowed:
            self.used[number] = self.used.get(number, 0) + 1
            self.accepted[number] = self.accepted.get(number, 0) + 1
        reset = (number + 1) * self.period + int(NOW)
        prefix, last, unit = [
            ("x-ratelimit", "reset", 1),
            ("x-rate-limit", "reset", 1000),
            ("x-rate-limit", "rest", 1),
        ][self.spelling]
        return allowed, [
            ("date", email.utils.formatdate(math.floor(NOW + now), usegmt=True)),
            (f"{prefix}-limit", f"{self.period}s"),
            (f"{prefix}-remaining", str(self.limit - self.used.get(number, 0))),
            (f"{prefix}-{last}", str(reset * unit)),
        ]


def run(
    server: Server,
    window: QuotaWindow,
    chance: random.Random,
    *,
    start: float = 0.0,
    until: float,
    skew: float = 0.0,
    lost: float = 0.0,
) -> tuple[int, int]:
    """Call as fast as the window lets us, eight calls at a time, with replies in any order.

    Returns how many calls were refused that were made while a count was known, and how many got no reply.
    """
    queue: list[tuple[float, int, str, Any]] = []
    numbers = itertools.count()
    in_air = surprises = losses = 0

    def plan(at: float, what: str, about: Any) -> None:
        heapq.heappush(queue, (at, next(numbers), what, about))

    plan(start, "wake", None)
    while queue:
        now, _, what, about = heapq.heappop(queue)
        if now > until:
            break
        if what == "arrive":
            allowed, headers = server.answer(now, chance)
            surprises += about and not allowed
            plan(now + chance.uniform(0.01, 0.3), "reply", None if chance.random() < lost else (allowed, headers))
        elif what == "reply":
            in_air -= 1
            if about is None:
                losses += 1
                window.forget()
            else:
                allowed, headers = about
                window.observe(read_headers(headers, NOW + now + skew), now)
                if not allowed:
                    window.throttled(now, 0.5)
        while in_air < 8 and window.wait(now) == 0.0:
            window.spend()
            in_air += 1
            plan(now + chance.uniform(0.01, 0.3), "arrive", window.remaining is not None)
        if in_air < 8:
            plan(math.nextafter(now + window.wait(now), math.inf), "wake", None)
    return surprises, losses


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(9, 200),
    st.sampled_from([10, 20, 60]),
    st.floats(0, 60),
    st.sampled_from([0.0, 600.0, -600.0]),
)
def test_a_known_count_is_never_exceeded_and_all_of_it_is_used(
    seed: int, limit: int, period: int, start: float, skew: float
) -> None:
    chance = random.Random(seed)
    server = Server(limit, period, spelling=seed % 3)
    window = QuotaWindow(10_000, MINUTE)

    surprises, _ = run(server, window, chance, start=start, until=start + period * 5.0, skew=skew)

    first = int(start // period) + 1
    assert surprises == 0
    assert [server.accepted.get(number, 0) for number in range(first, first + 3)] == [limit] * 3


class ForgetsCallsUnderWay(QuotaWindow):
    def spend(self) -> None:
        pass


class BelievesTheLatestReply(QuotaWindow):
    def observe(self, seen: Observation, now: float) -> None:
        super().observe(seen, now)
        self.remaining = seen.remaining


class BelievesEachRaise(QuotaWindow):
    def observe(self, seen: Observation, now: float) -> None:
        self._overtaken = 0
        super().observe(seen, now)


@pytest.mark.parametrize("wrong", [ForgetsCallsUnderWay, BelievesTheLatestReply, BelievesEachRaise])
def test_the_check_of_counts_finds_a_window_that_is_wrong(wrong: type[QuotaWindow]) -> None:
    surprises = 0
    for seed in range(20):
        window = wrong(10_000, MINUTE)
        surprises += run(Server(50, 10, spelling=0), window, random.Random(seed), until=50.0)[0]

    assert surprises > 0


class SharesWhatRemains(QuotaWindow):
    def available(self) -> float:
        return math.inf if self.remaining is None else self.remaining * self._share - self._spent


def test_the_check_of_shares_finds_a_window_that_takes_a_share_of_the_rest_again_and_again() -> None:
    server = Server(100, 20, spelling=1)
    run(server, SharesWhatRemains(100, 20.0, share=0.5), random.Random(1), until=100.0)

    assert server.accepted[1] > 59


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(40, 200), st.sampled_from([0.25, 0.5, 0.9]))
def test_a_share_is_kept_in_every_window(seed: int, limit: int, share: float) -> None:
    chance = random.Random(seed)
    server = Server(limit, 20, spelling=1)
    window = QuotaWindow(limit, 20.0, share=share)

    run(server, window, chance, until=100.0)

    for number in range(1, 4):
        assert share * limit - 8 <= server.accepted[number] <= share * limit + 9


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(40, 200))
def test_others_who_use_the_same_quota_are_made_room_for(seed: int, limit: int) -> None:
    chance = random.Random(seed)
    server = Server(limit, 20, spelling=0, others=0.5)
    window = QuotaWindow(limit, 20.0)

    run(server, window, chance, until=100.0)

    assert all(server.used[number] >= limit - 3 for number in range(1, 4))


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(40, 200))
def test_calls_without_a_reply_cost_at_most_as_many_refusals(seed: int, limit: int) -> None:
    chance = random.Random(seed)
    window = QuotaWindow(limit, 20.0)

    surprises, losses = run(Server(limit, 20, spelling=0), window, chance, until=100.0, lost=0.1)

    assert surprises <= losses


def test_after_a_change_of_period_the_true_reset_is_believed() -> None:
    window = QuotaWindow(1000, 3600.0)
    window.observe(Observation(period=3600.0, remaining=500, reset_in=3000.0), 0.0)
    window.observe(Observation(period=60.0, remaining=10), 1.0)
    assert window.reset_at == 61.0
    window.observe(Observation(period=60.0, remaining=9, reset_in=58.0), 30.0)
    assert window.reset_at == 88.0
