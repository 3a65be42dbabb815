"""Request limits by API family, and the headers that tell of them ("Request Limit").

The limits hold per service, and the emulator has one service. Every call with a valid token counts, whatever its
answer; whether the real server counts failed calls no page says.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dfinery_async.emulator.settings import Settings

FAMILIES: Final = ("events", "identities", "profiles", "exports")

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_QUOTA = re.compile(r"([0-9]{1,12})/([1-9][0-9]{0,5})([smhHdD])")


@dataclass(frozen=True)
class Quota:
    """So many calls in each window of time.

    Attributes:
        calls: how many calls a window has room for.
        count: the window's length in units.
        unit: the unit: "s", "m", "h" or "d".
    """

    calls: int
    count: int
    unit: str

    @property
    def seconds(self) -> int:
        """The window's length in seconds."""
        return self.count * _UNIT_SECONDS[self.unit]

    @classmethod
    def parse(cls, text: str) -> Quota:
        """Read a quota such as `1000/1m` or `100/1H`.

        Raises:
            ValueError: the text has another form.
        """
        match = _QUOTA.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"quota {text!r}: expected CALLS/PERIOD such as 1000/1m, with s, m, H or d")
        return cls(int(match[1]), int(match[2]), match[3].lower())


# "Request Limit", defaults per service.
DEFAULT_QUOTAS: Final = {
    "events": Quota(1_000_000, 1, "m"),
    "identities": Quota(10_000, 1, "m"),
    "profiles": Quota(10_000, 1, "m"),
    "exports": Quota(100, 1, "h"),
}


def parse_quota(text: str) -> tuple[str, Quota]:
    """Read the command line's form of a quota, `events=1000/1m`.

    Raises:
        ValueError: the family or the quota can't be read.
    """
    family, equals, quota = text.partition("=")
    if not equals or family not in FAMILIES:
        raise ValueError(f"quota {text!r}: expected FAMILY=CALLS/PERIOD, the family one of {', '.join(FAMILIES)}")
    return family, Quota.parse(quota)


@dataclass(frozen=True)
class Standing:
    """Where a family stands after a call.

    Attributes:
        allowed: whether the call was within the limit.
        quota: the limit.
        remaining: how many calls are left in the window.
        reset: when the window ends, in seconds since 1970.
    """

    allowed: bool
    quota: Quota
    remaining: int
    reset: float


class Limiter:
    """Fixed windows, one for each family."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, int]] = {}

    def reset(self) -> None:
        """Forget all calls."""
        self._windows = {}

    def look(self, family: str, settings: Settings) -> tuple[Quota, int, float | None] | None:
        """The limit, the calls left, and the end of the window, without counting; None when there is no limit.

        The end is None when no window is open.
        """
        quota = _quota(family, settings)
        if quota is None:
            return None
        now = settings.clock()
        reset, used = self._windows.get(family, (-math.inf, 0))
        if now >= reset or reset > now + quota.seconds:
            return quota, quota.calls, None
        return quota, quota.calls - used, reset

    def take(self, family: str, cost: int, settings: Settings) -> Standing | None:
        """Count a call; None when the family has no limit."""
        quota = _quota(family, settings)
        if quota is None:
            return None
        now = settings.clock()
        reset, used = self._windows.get(family, (-math.inf, 0))
        period = quota.seconds
        # A clock that was set back leaves a window that ends too far ahead; it is a new window as well.
        if now >= reset or reset > now + period:
            reset = (now // period + 1) * period if settings.windows == "aligned" else now + period
            used = 0
        allowed = used + cost <= quota.calls
        # "All subsequent requests will fail" until the reset: a call that does not fit uses up what is left.
        used = used + cost if allowed else quota.calls
        self._windows[family] = (reset, used)
        return Standing(allowed, quota, quota.calls - used, reset)


def _quota(family: str, settings: Settings) -> Quota | None:
    quota = settings.quota.get(family, DEFAULT_QUOTAS[family])
    return Quota.parse(quota) if isinstance(quota, str) else quota


def limit_headers(standing: Standing, settings: Settings) -> list[tuple[bytes, bytes]]:
    """The headers that tell of the limit, in the spelling of the settings."""
    if settings.limit_headers == "none":
        return []
    quota = standing.quota
    letter = quota.unit
    if settings.period_letters == "upper" or (settings.period_letters == "mixed" and letter == "h"):
        letter = letter.upper()
    reset = math.ceil(standing.reset * 1000) if settings.reset_unit == "ms" else math.ceil(standing.reset)
    # The limit header holds the period of the limit, not a number of calls: "1d" in the samples.
    values = (b"%d%s" % (quota.count, letter.encode()), b"%d" % standing.remaining, b"%d" % reset)
    names: list[tuple[bytes, bytes, bytes]] = []
    if settings.limit_headers in {"x-ratelimit", "both"}:
        names.append((b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset"))
    if settings.limit_headers in {"x-rate-limit", "both"}:
        names.append((b"x-rate-limit-limit", b"x-rate-limit-remaining", b"x-rate-limit-reset"))
    if settings.limit_headers == "x-rate-limit-rest":
        names.append((b"x-rate-limit-limit", b"x-rate-limit-remaining", b"x-rate-limit-rest"))
    return [pair for three in names for pair in zip(three, values, strict=True)]
