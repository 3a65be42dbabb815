"""`dfinery plan`: how many calls a file needs and how long they take, found out without sending anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Any, Final

from cyclopts import Parameter

from dfinery_async.cli.exits import CliError, Exit
from dfinery_async.cli.interrupts import interruptible, run
from dfinery_async.cli.output import print_json, show_figure, show_progress
from dfinery_async.cli.progress import ProgressView
from dfinery_async.cli.rates import LimitRate, Quotas, calls_per_second, read_quotas
from dfinery_async.cli.reading import Files, FormatOption, Reading, opened
from dfinery_async.cli.rejects import RejectsFile
from dfinery_async.cli.settings import NO_SERVICE, JsonFlag, UnusedService
from dfinery_async.cli.source import Shape
from dfinery_async.cli.tables import TableOptions
from dfinery_async.cli.texts import clock
from dfinery_async.config import DeliveryConfig, PacingConfig
from dfinery_async.core.load_plan import LoadPlan, seconds_for
from dfinery_async.core.records import Kind, Record
from dfinery_async.core.work import Work
from dfinery_async.emulator import Quota
from dfinery_async.runtime.intake import event_receipt, identity_receipt, profile_receipt

__all__ = ["HELP", "plan", "plan_files", "quota_of"]

HELP: Final = """Say how many calls files need, and how long these take. Sends nothing.

Files are read as dfinery load reads them, in the same forms, bad lines named
and counted in the same way. No settings are needed.

  dfinery plan events.jsonl
  dfinery plan events.jsonl --quota events=600000/1m --limit-rate 300000/1m
  dfinery plan profiles.csv --kind profiles

requests  as dfinery load packs them: up to 100 events and 100 items of one
          user in each. What waits for more of its user waits within a bound
          of memory (100,000 events), so a longer file whose users are
          interleaved needs more than the least; with dfinery load --pack full,
          which sorts the file by user on disk first, it does not. So does a
          pipe that pauses, or takes long to end: load sends what has come out
          of it at a pause, and after 5 s at the latest.
longest   requests of the user that has most; they go one after the other,
          each after the answer to the one before.
seconds   that the quota makes these requests take: the documented one, that
          of --quota, and no faster than --limit-rate.

The files may be of any length; some 400 bytes of memory are held per user.

--json prints: kind, units, users, requests, requests_least, longest, seconds,
unreadable (bad lines), quota (calls and seconds of a window) and limit_rate
(calls a second, or null).

Exit codes: 0 all well; 1 there are bad lines among good ones; 2 wrong use, or
a file that can't be read at all; 130 interrupted.
"""

_TABLE: Final = TableOptions()
_SHOW_EVERY: Final = 0.1


def plan(
    *files: Files,
    kind: Annotated[Kind, Parameter(help="What the files hold.")] = "events",
    form: Annotated[FormatOption, Parameter(name="--format")] = None,
    table: TableOptions = _TABLE,
    quota: Quotas = None,
    limit_rate: LimitRate = None,
    json: JsonFlag = False,
    _service: UnusedService = NO_SERVICE,
) -> Exit:
    """Say how many calls files need."""
    allowed = quota_of(kind, quota)
    most = calls_per_second(limit_rate)
    shape = table.shape(kind, form)
    return run(interruptible(lambda: plan_files(files, shape, allowed, most, as_json=json)))


def quota_of(kind: Kind, texts: list[str] | None = None) -> Quota:
    """Return the quota of a kind of calls: the documented one, or what `--quota` says."""
    quota = read_quotas(texts).get(kind, Quota(getattr(PacingConfig(), kind), 1, "m"))
    if not quota.calls:
        raise CliError("--quota: 0 calls would send nothing")
    return quota


async def plan_files(
    files: Sequence[str],
    shape: Shape,
    quota: Quota,
    most: float | None,
    *,
    as_json: bool,
    rejects: str | None = None,
) -> Exit:
    """Read files to their end, and print what loading them takes.

    Args:
        files: their names.
        shape: how they are written.
        quota: of the calls.
        most: calls a second at the most.
        as_json: print one object.
        rejects: file that takes bad lines.
    """
    packed = LoadPlan(DeliveryConfig())
    with ExitStack() as stack:
        sources = stack.enter_context(opened(files, shape))
        aside = None
        if rejects is not None:
            aside = stack.enter_context(RejectsFile(rejects, [source.inode for source in sources]))
        reading = Reading(sources, aside)
        with ProgressView(reading.title, wanted=show_progress(as_json=as_json)) as view:
            await _read(reading, packed, view)
    reading.sum_up()
    figures = {
        "kind": shape.kind,
        "units": packed.units,
        "users": packed.users,
        "requests": packed.requests,
        "requests_least": packed.requests_least,
        "longest": packed.longest,
        "seconds": round(seconds_for(packed.requests, quota.calls, quota.seconds, most=most), 3),
        "unreadable": reading.unreadable,
        "quota": {"calls": quota.calls, "seconds": quota.seconds},
        "limit_rate": most,
    }
    if as_json:
        print_json(figures)
    else:
        _print(figures)
    return Exit.INCOMPLETE if reading.unreadable else Exit.OK


async def _read(reading: Reading, packed: LoadPlan, view: ProgressView) -> None:
    loop = asyncio.get_running_loop()
    shown_at = loop.time()
    async for block in reading.blocks():
        for record in block:
            packed.add(*_work(record))
        if loop.time() - shown_at >= _SHOW_EVERY:
            shown_at = loop.time()
            view.show(reading.fraction, {"read": packed.units}, f"read {packed.units:,}  {{read}}")
    packed.finish()


def _work(record: Record) -> tuple[bytes, Work]:
    """Return a line as what a producer makes of it."""
    if record.event is not None:
        return event_receipt(record.identity, record.event, 0.0)
    if record.properties is not None:
        return profile_receipt(record.identity, record.properties, 0.0)
    return identity_receipt(record.identity, 0.0)


def _print(figures: dict[str, Any]) -> None:
    quota = figures["quota"]
    limits = f"{quota['calls']:,} calls in {quota['seconds']:,} s"
    if figures["limit_rate"] is not None:
        limits += f", at most {figures['limit_rate']:,.6g}/s"
    notes = {
        "units": f"{figures['kind']} of {figures['users']:,} users",
        "requests": f"as load packs them; with --pack full {figures['requests_least']:,}",
        "longest": "requests of one user, one after the other",
        "seconds": f"({clock(figures['seconds'])}) at {limits}",
        "unreadable": "bad lines, left out",
    }
    for name, note in notes.items():
        if name != "unreadable" or figures[name]:
            figure = f"{figures[name]:,.2f}" if name == "seconds" else f"{figures[name]:,}"
            show_figure(name, figure, note)
