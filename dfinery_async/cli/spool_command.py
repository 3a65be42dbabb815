"""The commands `dfinery spool status`, `spool replay` and `spool drop`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from cyclopts import App, Parameter

from dfinery_async.cli.exits import CliError, Exit
from dfinery_async.cli.interrupts import run
from dfinery_async.cli.load import Load, LoadResult
from dfinery_async.cli.load_command import GIVE_UP_AFTER, ImportTokenFile, print_load
from dfinery_async.cli.output import print_json, say, show_figure, show_progress, warn
from dfinery_async.cli.progress import ProgressView
from dfinery_async.cli.rates import LimitRate, calls_per_second
from dfinery_async.cli.reading import Reading
from dfinery_async.cli.rejects import RejectsFile
from dfinery_async.cli.settings import NO_SERVICE, JsonFlag, Service, UnusedService, open_client
from dfinery_async.cli.texts import plain, since
from dfinery_async.config import PacingConfig, SpoolConfig
from dfinery_async.core.records import Record
from dfinery_async.models import Report
from dfinery_async.runtime.spool.inspection import SlotState, drop_all, look

__all__ = ["app"]

Folder: TypeAlias = Annotated[str, Parameter(help="The spool's folder.")]

app: App = App(name="spool", help="Look at what waits on disk, send it, or throw it away.")


@app.command
def status(folder: Folder, /, *, json: JsonFlag = False, _service: UnusedService = NO_SERVICE) -> Exit:
    """Show what waits on disk. Changes nothing.

    A slot that a process uses can't be read. The process tells every few
    seconds how many units wait in it, while that changes: "as of" says when it
    did so last (as_of with --json). Unknown (null) is what it has not told.

    Exit codes: 0 all could be told, or is in use; 1 something is damaged; 2 no folder of a spool.
    """
    slots = _look(folder)
    if json:
        print_json(_summary(slots))
    else:
        _show(slots)
    damaged = any(slot.owner is None and (slot.problem or slot.damaged or slot.aside) for slot in slots)
    return Exit.INCOMPLETE if damaged else Exit.OK


@app.command
def replay(
    folder: Folder,
    /,
    *,
    service: Service = NO_SERVICE,
    import_token_file: ImportTokenFile = None,
    limit_rate: LimitRate = None,
    rejects: Annotated[str | None, Parameter(help="JSON Lines file to which what is refused is added.")] = None,
    json: JsonFlag = False,
) -> Exit:
    """Send what waits on disk, in order, and say how that went, as a load does.

    What a running process holds is left to it. Exit codes are those of a load.
    """
    slots = _look(folder)
    busy = [slot for slot in slots if slot.owner is not None]
    for slot in busy:
        warn(f"{slot.slot} is in use by {_owner(slot)}, which sends it")
    if busy and len(busy) == len(slots):
        return _print(LoadResult(Report(), 0, Exit.INCOMPLETE), as_json=json)
    code = run(_replay(folder, service, import_token_file, calls_per_second(limit_rate), rejects, as_json=json))
    return Exit.INCOMPLETE if code is Exit.OK and busy else code


@app.command
def drop(
    folder: Folder,
    /,
    *,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    json: JsonFlag = False,
    _service: UnusedService = NO_SERVICE,
) -> Exit:
    """Throw away what waits on disk: it is never sent. A slot that a process uses is left as it is.

    Exit codes: 0 all of it is gone; 1 something is in use, or you said no; 2 no folder of a spool.
    """
    slots = _look(folder)
    units = sum(slot.units or 0 for slot in slots if slot.owner is None)
    if not yes and not _agreed(units):
        return Exit.INCOMPLETE
    slots = drop_all(Path(folder))
    busy = [slot for slot in slots if slot.owner is not None]
    for slot in busy:
        warn(f"{slot.slot} is in use by {_owner(slot)} and was left as it is; stop that first")
    if json:
        print_json({"dropped": units, "left": [slot.slot for slot in busy]})
    else:
        show_figure("dropped", f"{units:,}", "units")
    return Exit.INCOMPLETE if busy else Exit.OK


class _Backlog(Reading):
    """Nothing to read: what is to be sent stands on disk."""

    def __init__(self, folder: str) -> None:
        super().__init__([])
        self._folder = folder

    @property
    def title(self) -> str:
        """What a person calls it."""
        return plain(self._folder)

    @property
    def fraction(self) -> float:
        """All of it is there."""
        return 1.0

    async def blocks(self) -> AsyncIterator[Iterator[Record]]:
        """Give nothing."""
        return
        yield iter(())


async def _replay(
    folder: str,
    service: Service,
    token_file: str | None,
    most: float | None,
    rejects_path: str | None,
    *,
    as_json: bool,
) -> Exit:
    client = open_client(service, "import", token_file, pacing=PacingConfig(limit_rate=most))
    reading = _Backlog(folder)
    with ExitStack() as stack:
        rejects = None if rejects_path is None else stack.enter_context(RejectsFile(rejects_path, (), add=True))
        async with client:
            with ProgressView(reading.title, wanted=show_progress(as_json=as_json)) as view:
                load = Load(
                    client,
                    "events",
                    reading,
                    rejects=rejects,
                    view=view,
                    give_up_after=GIVE_UP_AFTER,
                    spool=SpoolConfig(path=folder),
                )
                result = await load.run()
    return _print(result, as_json=as_json)


def _print(result: LoadResult, *, as_json: bool) -> Exit:
    if as_json:
        print_json(result.to_dict())
    else:
        print_load(result, "units")
    return result.exit


def _look(folder: str) -> list[SlotState]:
    path = Path(folder)
    if "\0" in folder or not path.is_dir():
        raise CliError(f"there is no folder {plain(folder)}")
    return look(path)


def _units(slots: Sequence[SlotState]) -> int | None:
    """Return how many units wait; `None` where a slot can't be read."""
    counts = [slot.units for slot in slots]
    return None if None in counts else sum(count or 0 for count in counts)


def _summary(slots: Sequence[SlotState]) -> dict[str, object]:
    return {
        "units": _units(slots),
        "bytes": sum(slot.bytes for slot in slots),
        "slots": [msgspec.structs.asdict(slot) for slot in slots],
    }


def _show(slots: Sequence[SlotState]) -> None:
    known = sum(slot.units or 0 for slot in slots)
    if _units(slots) is None:
        where = f"units in {len(slots)} slots, {known:,} of them in slots that are known"
        show_figure("waiting", "unknown", where)
    else:
        show_figure("waiting", f"{known:,}", f"units in {len(slots)} slots")
    for slot in slots:
        if slot.as_of is not None:
            note = f"in use by {_owner(slot)}, as of {since(slot.as_of)} ago"
            note += "" if slot.oldest is None else f"; the oldest has waited for {since(slot.oldest)}"
        elif slot.owner is not None:
            note = f"in use by {_owner(slot)}, which has not told yet how much waits"
        elif slot.problem is not None:
            note = slot.problem
        else:
            counts = (("events", slot.events), ("profiles", slot.profiles), ("identities", slot.identities))
            note = ", ".join(f"{count:,} {name}" for name, count in counts if count) or "empty"
            note += f"; {slot.damaged:,} damaged and set aside" if slot.damaged else ""
        units = "" if slot.units is None else f"{slot.units:,}"
        show_figure(slot.slot, units, f"{note}; {slot.bytes:,} bytes")
        for name in slot.aside:
            show_figure("", "", f"{name}: damaged, moved aside")


def _owner(slot: SlotState) -> str:
    return f"process {slot.owner}" if slot.owner else "another process"


def _agreed(units: int) -> bool:
    if not sys.stdin.isatty():
        raise CliError(f"{units:,} units would be thrown away; --yes says that this is meant")
    say(f"{units:,} units will never be sent. Throw them away? [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
