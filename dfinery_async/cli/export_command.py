"""The commands `dfinery export events` and `dfinery export profiles`."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import App, Parameter

from dfinery_async.cli.exits import CliError, Exit
from dfinery_async.cli.interrupts import interruptible, run
from dfinery_async.cli.output import print_json, say, show_progress
from dfinery_async.cli.progress import ProgressView, ticking
from dfinery_async.cli.settings import JsonFlag, Service, open_client
from dfinery_async.cli.source import Format
from dfinery_async.cli.texts import plain, size

if TYPE_CHECKING:
    from dfinery_async.client import DfineryClient
    from dfinery_async.runtime.export import Export, ExportFile

__all__ = ["app"]

_EVENTS_HELP = """Export events of some days, both ends included.

  dfinery export events --from 2025-03-01 --to 2025-03-02 -o events.csv

A file ending in .csv holds what the API sent, one in .jsonl typed rows. It has
its name only once it is whole, and only you may read it; one that is there
already is replaced. Without -o everything goes to standard output, also only
once it is whole: until then it lies in the directory for temporary files.

Exit codes: 0 all well; 1 the export failed or broke off; 2 wrong use; 3 not
authorised; 4 unreachable; 130 interrupted.
"""
_PROFILES_HELP = """Export user profiles, all or those of an audience.

  dfinery export profiles --audience ID -o profiles.csv

For the rest see: dfinery export events --help
"""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExportOptions(Service):
    """What all exports can be told."""

    output: Annotated[
        str, Parameter(name=["--output", "-o"], allow_leading_hyphen=True, help="File to write; - is standard output.")
    ] = "-"
    format: Annotated[
        Format | None, Parameter(help="How rows are written on standard output: csv, as the API sent them, or jsonl.")
    ] = None
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
    options: ExportOptions = _DEFAULTS,
) -> Exit:
    """Export events."""
    return _run(
        lambda client: client.export_events(
            from_date,
            to_date,
            events=event,
            exclude_events=exclude_event,
            properties=property_,
            exclude_properties=exclude_property,
        ),
        options,
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
        lambda client: client.export_profiles(
            audience=audience, properties=property_, exclude_properties=exclude_property, identities=external_id or None
        ),
        options,
    )


def _run(prepare: Callable[[DfineryClient], Export], options: ExportOptions) -> Exit:
    client = open_client(options, "export", options.export_token_file)
    if options.output != "-":
        if options.format is not None:
            raise CliError("--format is for standard output; a file's ending says how it is written")
        return run(interruptible(lambda: _save(client, prepare, Path(options.output), options)))
    if options.json:
        raise CliError("--json needs a file for the export: name it with -o")
    with tempfile.TemporaryDirectory(prefix="dfinery-") as directory:
        path = Path(directory) / f"export.{options.format or 'csv'}"
        code = run(interruptible(lambda: _save(client, prepare, path, options)))
        if code is Exit.OK:
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
    return code


async def _save(
    client: DfineryClient, prepare: Callable[[DfineryClient], Export], path: Path, options: ExportOptions
) -> Exit:
    begin = time.monotonic()
    async with client:
        export = prepare(client)
        try:
            with ProgressView("exporting", wanted=show_progress(as_json=options.json)) as view:
                async with ticking(view):
                    saved = await export.save(path)
        except OSError as error:
            reason = error.strerror.lower() if error.strerror else "the system refuses it"
            raise CliError(f"{plain(str(path))} can't be written: {reason}") from None
    _report(saved, time.monotonic() - begin, options)
    return Exit.OK


def _report(saved: ExportFile, seconds: float, options: ExportOptions) -> None:
    if options.json:
        print_json({"path": str(saved.path), "rows": saved.rows, "bytes": saved.bytes, "seconds": round(seconds, 3)})
    else:
        where = "" if options.output == "-" else f" in {plain(options.output)}"
        say(f"{saved.rows:,} rows, {size(saved.bytes)}{where}, {seconds:.2f} s")
