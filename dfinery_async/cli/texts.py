"""Small texts: what is safe to print, how figures are written."""

from __future__ import annotations

import datetime as dt
import math

__all__ = ["clock", "plain", "since", "size", "until"]


def plain(text: str) -> str:
    """Replace what could move a cursor or turn text around, in a foreign text such as a file's name."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def clock(seconds: float) -> str:
    """Write a duration as `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def since(moment: dt.datetime, now: dt.datetime | None = None) -> str:
    """Write how long ago a moment was: in seconds, or as `h:mm:ss` from a minute on."""
    seconds = max(0.0, ((now or dt.datetime.now(dt.UTC)) - moment).total_seconds())
    return f"{seconds:.0f} s" if round(seconds) < 60 else clock(seconds)


def until(seconds: float, now: dt.datetime | None = None) -> str:
    """Write a moment to come by the clock of this machine, with the time until then."""
    now = (now or dt.datetime.now(dt.UTC)).astimezone()
    moment = (now + dt.timedelta(seconds=seconds)).astimezone()  # once more: summer time may begin or end meanwhile
    form = "%H:%M:%S" if moment.date() == now.date() else "%Y-%m-%d %H:%M:%S"
    return f"{moment:{form}}, in {clock(seconds)}"


def size(count: float) -> str:
    """Write a number of bytes with a unit that fits."""
    if count < 1000:
        return f"{count:,.0f} bytes"
    step = min(3, int(math.log10(count)) // 3)
    return f"{count / 1000**step:,.1f} {('kB', 'MB', 'GB')[step - 1]}"
