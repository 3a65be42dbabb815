"""What tests of values share: texts that are subclasses, time zones, and an id."""

from __future__ import annotations

import datetime as dt
import enum

ID = "5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa"
SEOUL = dt.timezone(dt.timedelta(hours=9))


class Text(str):
    __slots__ = ()


class Colour(str, enum.Enum):  # noqa: UP042 - the older spelling, which prints as `Colour.RED`
    RED = "red"


class Shade(enum.StrEnum):
    DARK = "dark"


class Zone(dt.tzinfo):
    """A time zone with an offset of one's choice."""

    def __init__(self, offset: dt.timedelta | None) -> None:
        self.offset = offset

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta | None:
        return self.offset

    def dst(self, when: dt.datetime | None) -> dt.timedelta | None:
        return None

    def tzname(self, when: dt.datetime | None) -> str | None:
        return None


def naive(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - that is the point
