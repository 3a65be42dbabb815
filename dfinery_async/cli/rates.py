"""Calls in a period of time, as `--quota` and `--limit-rate` have them: `1000/1m`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter

from dfinery_async.cli.exits import CliError
from dfinery_async.emulator import Quota, parse_quota

__all__ = ["LimitRate", "Quotas", "calls_per_second", "read_quotas"]

LimitRate: TypeAlias = Annotated[
    str | None, Parameter(help="Calls at the most, as in 600/1m (s, m, H or d), whatever the quota allows.")
]
Quotas: TypeAlias = Annotated[
    list[str] | None,
    Parameter(
        negative="", consume_multiple=False, help="Quota of a family of calls, as in events=1000/1m; may be repeated."
    ),
]


def calls_per_second(text: str | None) -> float | None:
    """Read the value of `--limit-rate`; `None` where it was not given.

    Raises:
        CliError: it has another form, or allows nothing.
    """
    if text is None:
        return None
    try:
        rate = Quota.parse(text)
    except ValueError:
        raise CliError("--limit-rate: expected CALLS/PERIOD such as 600/1m, with s, m, H or d") from None
    if not rate.calls:
        raise CliError("--limit-rate: 0 calls would send nothing")
    return rate.calls / rate.seconds


def read_quotas(texts: list[str] | None) -> dict[str, Quota]:
    """Read the values of `--quota`, by family.

    Raises:
        CliError: one has another form.
    """
    try:
        return dict(parse_quota(text) for text in texts or ())
    except ValueError as error:
        raise CliError(str(error)) from None
