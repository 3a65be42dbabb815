"""The commands `dfinery export events` and `dfinery export profiles`."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from cyclopts import App, Parameter

from dfinery_async.cli.exits import CliError, Exit, unwritable
from dfinery_async.cli.hindrance import Reminder
from dfinery_async.cli.interrupts import interruptible, run
from dfinery_async.cli.output import print_json, say, show_progress, warn
from dfinery_async.cli.progress import ProgressView, ticking
from dfinery_async.cli.settings import JsonFlag, Service, open_client
from dfinery_async.cli.texts import plain, size, until
from dfinery_async.config import RetryConfig
from dfinery_async.errors import ConfigError, DateRangeExceeded, InvalidInputError
from dfinery_async.runtime.export import korea_time
from dfinery_async.runtime.export_calls import MAX_DAYS_PER_CALL
from dfinery_async.runtime.mapping_files import time_zone
from dfinery_async.runtime.taxonomy import read_taxonomy

if TYPE_CHECKING:
    from dfinery_async.client import DfineryClient
    from dfinery_async.runtime.export import Export, ExportFile
    from dfinery_async.runtime.export_progress import ExportProgress

__all__ = ["app"]

_EVENTS_HELP = """Export events of some days, both ends included.

  dfinery export events --from 2025-03-01 --to 2025-03-02 -o events.parquet
  dfinery export events --from 2025-03-01 --to 2025-03-28 -o march.csv.gz
      --event df_purchase --resume

The ending says the form: .csv as the API sent it, .jsonl or .parquet with typed
columns; .csv and .jsonl may be followed by .gz or .zst. A file has its name
only once it is whole, and only you may read it; one that is there already is
replaced. Without -o everything goes to standard output, also only once it is
whole: until then it lies in the directory for temporary files.

A call covers up to 30 days, or --days-per-call; up to five go side by side, and
days come in order. The quota of 100 calls an hour is waited for. The API gives
events of the last 30 days.

--resume asks day by day, keeps the days that are whole in NAME.parts beside the
file when the rest fails, and fetches only what is missing the next time. Days
that were not over when they were fetched are fetched again.

Columns of the service's own have the types of --taxonomy. Without one,
booleans, datetimes and lists are told by their form, and the rest is text.
Beside df_event_log_id, which has the time of arrival before it, typed rows have
the bare UUID in event_log_id.

Exit codes: 0 all well; 1 the export failed or broke off; 2 wrong use; 3 not
authorised; 4 unreachable; 130 interrupted.
"""
_PROFILES_HELP = """Export user profiles, all or those of an audience.

  dfinery export profiles --audience ID -o profiles.parquet

For the rest see: dfinery export events --help
"""

_PATIENCE = 3700.0
"""Seconds that a call may wait in all: the quota of an hour is back after one."""

_OPTIONS: Final = {
    "from_date": "--from",
    "to_date": "--to",
    "days_per_call": "--days-per-call",
    "exclude_events": "--exclude-event",
    "events": "--event",
    "exclude_properties": "--exclude-property",
    "properties": "--property",
    "audience": "--audience",
    "path": "--output",
}
"""What the arguments of the client are called here."""
_NAMES: Final = re.compile(rf"\b(?:{'|'.join(_OPTIONS)})\b")

_LOOK: Final = 0.25  # seconds between two looks at whether anything came

_Format: TypeAlias = Literal["csv", "jsonl", "parquet"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExportOptions(Service):
    """What all exports can be told."""

    output: Annotated[
        str, Parameter(name=["--output", "-o"], allow_leading_hyphen=True, help="File to write; - is standard output.")
    ] = "-"
    format: Annotated[
        _Format | None,
        Parameter(help="How rows are written on standard output; csv, as the API sent them, by default."),
    ] = None
    taxonomy: Annotated[
        str | None, Parameter(help="File with the types of the service's own columns, JSON or YAML.")
    ] = None
    zone: Annotated[
        str, Parameter(help="Time zone of datetimes in the answer, which have none: a name, or an offset as +09:00.")
    ] = "Asia/Seoul"
    spreadsheet_safe: Annotated[
        bool, Parameter(negative="", help="Put a ' before cells of a CSV that a spreadsheet would take for a formula.")
    ] = False
    export_token_file: Annotated[
        str | None, Parameter(help="File that holds the export token; by default that of DFINERY_EXPORT_TOKEN.")
    ] = None
    json: JsonFlag = False


_Names: TypeAlias = list[str] | None
_DEFAULTS = ExportOptions()


def _several(text: str) -> Parameter:
    return Parameter(negative="", consume_multiple=False, help=f"{text}; may be repeated.")


app: App = App(name="export", help="Export events or user profiles to a file or standard output.")


@app.command(help=_EVENTS_HELP)
def events(
    *,
    from_date: Annotated[str, Parameter(name="--from", help="First day, as 2025-03-01.")],
    to_date: Annotated[str, Parameter(name="--to", help="Last day.")],
    event: Annotated[_Names, _several("Only events of this name")] = None,
    exclude_event: Annotated[_Names, _several("All but events of this name")] = None,
    property_: Annotated[_Names, Parameter(name="--property"), _several("Only this property")] = None,
    exclude_property: Annotated[_Names, _several("All but this property")] = None,
    days_per_call: Annotated[
        int | None, Parameter(help="Days that one call covers: 1 to 30; 30 by default, 1 with --resume.")
    ] = None,
    resume: Annotated[
        bool, Parameter(negative="", help="Keep whole days when the export fails, and fetch only missing ones.")
    ] = False,
    options: ExportOptions = _DEFAULTS,
) -> Exit:
    """Export events."""
    if resume and options.output == "-":
        raise CliError("--resume needs a file, beside which the days are kept: name it with -o")
    return _run(
        lambda client, known: client.export_events(
            from_date,
            to_date,
            events=event,
            exclude_events=exclude_event,
            properties=property_,
            exclude_properties=exclude_property,
            days_per_call=(1 if resume else MAX_DAYS_PER_CALL) if days_per_call is None else days_per_call,
            **known,
        ),
        options,
        resume=resume,
    )


@app.command(help=_PROFILES_HELP)
def profiles(
    *,
    audience: Annotated[str | None, Parameter(help="Only the members of this audience.")] = None,
    property_: Annotated[_Names, Parameter(name="--property"), _several("Only this property")] = None,
    exclude_property: Annotated[_Names, _several("All but this property")] = None,
    external_id: Annotated[bool, Parameter(negative="", help="Add the column df_external_id.")] = False,
    options: ExportOptions = _DEFAULTS,
) -> Exit:
    """Export user profiles."""
    return _run(
        lambda client, known: client.export_profiles(
            audience=audience,
            properties=property_,
            exclude_properties=exclude_property,
            identities=external_id or None,
            **known,
        ),
        options,
        resume=False,
    )


def _run(prepare: Callable[[DfineryClient, dict[str, Any]], Export], options: ExportOptions, *, resume: bool) -> Exit:
    client = open_client(options, "export", options.export_token_file, retry=RetryConfig(total=_PATIENCE))
    try:
        taxonomy = None if options.taxonomy is None else read_taxonomy(options.taxonomy)
        known: dict[str, Any] = {"taxonomy": taxonomy, "zone": time_zone(options.zone)}
    except ConfigError as error:
        raise CliError(str(error)) from None

    def save(path: Path) -> Exit:
        how = {"resume": resume, "spreadsheet_safe": options.spreadsheet_safe}
        return run(interruptible(lambda: _save(client, lambda: prepare(client, known), path, options, how)))

    if options.output != "-":
        if options.format is not None:
            raise CliError("--format is for standard output; a file's ending says how it is written")
        return save(Path(options.output))
    if options.json:
        raise CliError("--json needs a file for the export: name it with -o")
    if options.format == "parquet" and os.isatty(sys.stdout.fileno()):
        raise CliError("Parquet is not for terminals: name a file with -o")
    with tempfile.TemporaryDirectory(prefix="dfinery-") as directory:
        path = Path(directory) / f"export.{options.format or 'csv'}"
        code = save(path)
        if code is Exit.OK:
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
    return code


async def _save(
    client: DfineryClient, prepare: Callable[[], Export], path: Path, options: ExportOptions, how: dict[str, Any]
) -> Exit:
    begin = time.monotonic()
    async with client:
        try:
            export = prepare()
            with ProgressView("exporting", wanted=show_progress(as_json=options.json)) as view:
                async with ticking(view), _patient(client) as came:
                    saved = await export.save(path, progress=_shower(view, came), **how)
        except DateRangeExceeded as error:
            earliest = dt.datetime.now(korea_time()).date() - dt.timedelta(days=30)
            raise CliError(f"{error}; from {earliest} on, that is", Exit.INCOMPLETE) from None
        except OSError as error:
            raise unwritable(str(path), error) from None
        except InvalidInputError as error:
            option = _OPTIONS.get(error.field or "", error.field)
            raise CliError(f"{option}: {_NAMES.sub(lambda name: _OPTIONS[name[0]], error.args[0])}") from None
    _report(saved, time.monotonic() - begin, options)
    return Exit.OK


@asynccontextmanager
async def _patient(client: DfineryClient) -> AsyncGenerator[Callable[[], None]]:
    """While nothing comes, say what is waited for. Gives a function to be called when something came."""
    time = asyncio.get_running_loop().time
    reminder = Reminder(time())

    async def tell() -> None:
        while True:
            await asyncio.sleep(_LOOK)
            if reminder.due(time()):
                wait = client.quota("exports").wait
                why = f"the quota is used up until {until(wait)}" if wait else "still waiting for the API"
                warn(f"nothing has come for {time() - reminder.since:,.0f} s: {why}")

    teller = asyncio.create_task(tell())
    try:
        yield lambda: reminder.came(time())
    finally:
        teller.cancel()
        await asyncio.wait({teller})


def _shower(view: ProgressView, came: Callable[[], None]) -> Callable[[ExportProgress], None]:
    def show(progress: ExportProgress) -> None:
        came()
        day = "" if progress.day is None else f"  up to {progress.day}"
        calls = f"calls {progress.calls_done} of {progress.calls}{day}\n" if progress.calls > 1 else ""
        view.show(
            progress.calls_done / progress.calls if progress.calls > 1 else None,
            {},
            f"{calls}received {size(progress.bytes)}",
        )

    return show


def _report(saved: ExportFile, seconds: float, options: ExportOptions) -> None:
    if options.json:
        print_json({"path": str(saved.path), "rows": saved.rows, "bytes": saved.bytes, "seconds": round(seconds, 3)})
    else:
        where = "" if options.output == "-" else f" in {plain(options.output)}"
        say(f"{saved.rows:,} rows, {size(saved.bytes)}{where}, {seconds:.2f} s")
