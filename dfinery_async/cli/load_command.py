"""The commands `dfinery load events`, `load identities` and `load profiles`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cyclopts import App, Parameter

from dfinery_async.cli.exits import CliError, Exit
from dfinery_async.cli.grouped import GroupedReading
from dfinery_async.cli.interrupts import interruptible, run
from dfinery_async.cli.load import Load, LoadResult
from dfinery_async.cli.output import print_json, show_figure, show_progress
from dfinery_async.cli.plan import plan_files, quota_of
from dfinery_async.cli.progress import ProgressView
from dfinery_async.cli.rates import LimitRate, calls_per_second
from dfinery_async.cli.reading import Files, FormatOption, Reading, opened
from dfinery_async.cli.rejects import RejectsFile
from dfinery_async.cli.resuming import MarkedReading, check_sources
from dfinery_async.cli.settings import JsonFlag, Service, open_client
from dfinery_async.cli.source import Shape, Source
from dfinery_async.cli.tables import TABLES_HELP, TableOptions
from dfinery_async.config import PacingConfig, SpoolConfig
from dfinery_async.errors import SpoolError
from dfinery_async.runtime.spool.files import make_folder
from dfinery_async.runtime.spool.slots import slot_folder

__all__ = ["GIVE_UP_AFTER", "ImportTokenFile", "app", "print_load"]

GIVE_UP_AFTER = 30.0
"""Seconds without any answer of the API after which a load gives up."""

_EVENTS_HELP = """Load events from files.

In JSON Lines each line is the API's own event with its identity beside it
(here on two lines for the page's sake):

  {"identity": {"external_id": "u1"}, "event_name": "df_login",
   "event_datetime": "2025-03-02T04:11:09.120Z"}

There may be event_properties (an object), event_items (a list of objects) and
event_log_id (a UUID). An identity has one or more of external_id, email,
phone_no, kakao_user_id and line_user_id.

CSV has the same names as columns, with a column for each property:

  identity.external_id,event_name,event_datetime,event_properties.NAME
  u1,df_login,2025-03-02T04:11:09.120Z,some text

event_items holds JSON text. An empty cell is an absent value. Standard
properties are numbers where the taxonomy says so, all others are texts.

An event_log_id that is left out is derived from what the line says and from
its number: a second run of the same file makes no new events.

Parquet has the same columns, or objects as JSON has them. Files of JSON Lines
and CSV may be compressed with gzip or zstd.

{tables}
Bad lines and refused events are named, counted, and kept in the file of
--rejects, while good ones go on. A line of that file has an "error" beside it,
which is passed over when the mended file is loaded.

A request carries events of one user, and requests are what the quota counts.
So a file is held back within a bound of memory until requests are full; of a
file of millions of lines whose users are interleaved, --pack full makes as few
requests as there can be. What comes out of a pipe is sent when the pipe pauses,
and after 5 s at the latest. --dry-run checks every line and says how many.

--limit-rate 600/1m makes no more than 600 calls a minute, evenly spread, so
that others who share the quota have theirs. How many calls a file needs, and
how long they take, says: dfinery plan FILE

--spool DIR keeps on disk what was read until it is delivered, so that a load
that is killed, or whose machine stops, loses nothing. Twice it sends only what
was in the air, and what was answered in the last tenth of a second or so: the
same command with --resume goes on where it was cut. What waits in such a folder
shows dfinery spool status DIR.

When nothing gets through for 10 s, a line says why, and again once a minute.
A server in trouble (5xx) and a used-up quota are waited for; where nobody
answers, or something that is not the API, such as a proxy's web page, the load
gives up after 30 s.

Ctrl-C ends the reading and sends what was read, until nothing has got through
for 10 s; a second one stops at once (with --spool the rest is kept).

Exit codes: 0 all delivered; 1 something was rejected or left; 2 wrong use, or
a file that can't be read at all; 3 not authorised; 4 unreachable;
130 interrupted.
""".replace("{tables}", TABLES_HELP)
_PROFILES_HELP = """Load user properties from files.

In JSON Lines each line is an identity with properties:

  {"identity": {"external_id": "u1"}, "user_properties": {"df_name": "Kim"}}

CSV has columns such as identity.external_id and user_properties.df_name.
For all else see: dfinery load events --help
"""
_IDENTITIES_HELP = """Create or update unified profiles from files of identities.

In JSON Lines each line is an identity:

  {"identity": {"external_id": "u1", "email": "kim@example.com"}}

CSV has columns such as identity.external_id and identity.email.
For all else see: dfinery load events --help
"""


ImportTokenFile: TypeAlias = Annotated[
    str | None, Parameter(help="File that holds the import token; by default that of DFINERY_IMPORT_TOKEN.")
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LoadOptions(Service):
    """What all loads can be told."""

    import_token_file: ImportTokenFile = None
    format: FormatOption = None
    limit_rate: LimitRate = None
    rejects: Annotated[
        str | None,
        Parameter(help="JSON Lines file for what can't be delivered, in a form to be loaded again; it is replaced."),
    ] = None
    pack: Annotated[
        Literal["memory", "full"],
        Parameter(help="Let requests get full within a bound of memory, or over the whole file: sorted on disk first."),
    ] = "memory"
    dry_run: Annotated[
        bool, Parameter(negative="", help="Send nothing: check every line, and say what it would take, as plan does.")
    ] = False
    spool: Annotated[
        str | None,
        Parameter(help="Folder that keeps on disk what was read until it is delivered, whatever happens to this run."),
    ] = None
    resume: Annotated[
        bool, Parameter(negative="", help="Go on where an earlier load of the same files into --spool was cut.")
    ] = False
    json: JsonFlag = False


_DEFAULTS = LoadOptions()
_TABLE = TableOptions()

app: App = App(name="load", help="Load events, user properties or identities from files.")


@app.command(help=_EVENTS_HELP)
def events(*files: Files, table: TableOptions = _TABLE, options: LoadOptions = _DEFAULTS) -> Exit:
    """Load events."""
    return _load(files, table.shape("events", options.format), options)


@app.command(help=_IDENTITIES_HELP)
def identities(*files: Files, table: TableOptions = _TABLE, options: LoadOptions = _DEFAULTS) -> Exit:
    """Load identities."""
    return _load(files, table.shape("identities", options.format), options)


@app.command(help=_PROFILES_HELP)
def profiles(*files: Files, table: TableOptions = _TABLE, options: LoadOptions = _DEFAULTS) -> Exit:
    """Load user properties."""
    return _load(files, table.shape("profiles", options.format), options)


def _load(files: Sequence[str], shape: Shape, options: LoadOptions) -> Exit:
    if not options.dry_run:
        return run(_send(files, shape, options))
    most = calls_per_second(options.limit_rate)
    quota = quota_of(shape.kind)
    return run(
        interruptible(lambda: plan_files(files, shape, quota, most, as_json=options.json, rejects=options.rejects))
    )


async def _send(files: Sequence[str], shape: Shape, options: LoadOptions) -> Exit:
    pacing = PacingConfig(limit_rate=calls_per_second(options.limit_rate))
    with ExitStack() as stack:
        sources = stack.enter_context(opened(files, shape))
        spool = _spool(options, sources)
        client = open_client(options, "import", options.import_token_file, pacing=pacing)
        rejects = None
        if options.rejects is not None:
            inodes = [source.inode for source in sources]
            rejects = stack.enter_context(RejectsFile(options.rejects, inodes, add=options.resume))
        if spool is not None:
            _check_folder(Path(spool.path))
            reading: Reading = MarkedReading(sources, rejects, resume=options.resume)
        else:
            reading = GroupedReading(sources, rejects) if options.pack == "full" else Reading(sources, rejects)
        async with client:
            with ProgressView(reading.title, wanted=show_progress(as_json=options.json)) as view:
                load = Load(
                    client,
                    shape.kind,
                    reading,
                    rejects=rejects,
                    view=view,
                    give_up_after=GIVE_UP_AFTER,
                    spool=spool,
                )
                result = await load.run()
    if options.json:
        print_json(result.to_dict())
    else:
        print_load(result, shape.kind)
    return result.exit


def _spool(options: LoadOptions, sources: Sequence[Source]) -> SpoolConfig | None:
    """Return where the load is kept. One load at a time: two of them would mix up their places."""
    if options.spool is None:
        if options.resume:
            raise CliError("--resume needs --spool, the folder in which the load that was cut is kept")
        return None
    if options.pack == "full":
        raise CliError("--spool takes a file in its own order, so that it can be resumed; leave --pack full out")
    if options.resume:
        check_sources(sources)
    return SpoolConfig(path=options.spool, exclusive=True)


def _check_folder(path: Path) -> None:
    """Make the spool's folder and the one in it that a load uses; where that can't be done, it is wrong use."""
    try:
        make_folder(path)
        make_folder(slot_folder(path, 0))
    except SpoolError as error:
        raise CliError(str(error)) from None


def print_load(result: LoadResult, unit: str) -> None:
    """Print a load's figures for people, on standard output."""
    books = result.to_dict()
    rate = books["delivered"] / books["seconds"] if books["seconds"] else 0.0
    each = books["delivered"] / books["requests"] if books["requests"] else 0.0
    notes = {
        "delivered": f"{unit} at {rate:,.0f}/s",
        "rejected": f"{result.unreadable:,} of them bad lines" if result.unreadable else "",
        "dropped": "not sent; a second run of the same files sends them" if books["dropped"] else "",
        "spooled": "kept on disk; --resume, or dfinery spool replay, sends them" if books["spooled"] else "",
        "requests": f"{each:,.1f} {unit} each; {books['retries']:,} repeated, {books['throttled']:,} throttled",
        "seconds": "",
    }
    for name, note in notes.items():
        figure = f"{books[name]:,.2f}" if name == "seconds" else f"{books[name]:,}"
        show_figure(name, figure, note)
