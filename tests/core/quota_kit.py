"""What tests of quotas share: spans of time, replies, and short ways to say what one tells."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from dfinery_async.core.quota_headers import Observation, read_headers

RESET = 1719397769  # as the guide's prose prints it: 2024-06-26T10:29:29Z
NOW = RESET - 60.0
MINUTE, HOUR, DAY, MONTH, YEAR = 60.0, 3600.0, 86400.0, 2592000.0, 31536000.0


def read(wall: float = NOW, /, **headers: Any) -> Observation:
    return read_headers([(f"x-ratelimit-{name}", str(value)) for name, value in headers.items()], wall)


def seen(remaining: int | None = None, reset_in: float | None = None, period: float | None = None) -> Observation:
    return Observation(period, remaining, reset_in)


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
