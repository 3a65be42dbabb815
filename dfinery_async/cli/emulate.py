"""`dfinery emulate`: the API on this machine, for trying things out."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dfinery_async.cli.exits import CliError, Exit
from dfinery_async.cli.interrupts import Interrupts, run
from dfinery_async.cli.output import print_json, say, warn
from dfinery_async.cli.rates import Quotas, read_quotas
from dfinery_async.cli.settings import JsonFlag, read_token
from dfinery_async.emulator import Emulator, Fault
from dfinery_async.runtime.taxonomy import read_taxonomy

__all__ = ["emulate", "started"]

_HIGHEST_PORT = 65_535
_REQUESTS_KEPT = 20_000  # for the page; a load of a day must not fill the memory with its records

_Faults = Annotated[
    list[str] | None,
    Parameter(
        negative="",
        consume_multiple=False,
        help="What goes wrong, as in latency=50ms, 5xx=2%, throttle=5s, reset=1%,family=events; may be repeated.",
    ),
]


def emulate(
    *,
    port: Annotated[int, Parameter(help="Port on the loopback interface; 0 takes a free one.")] = 0,
    quota: Quotas = None,
    fault: _Faults = None,
    service_id: Annotated[str, Parameter(help="The only service there is.")] = "devsvc",
    import_token_file: Annotated[
        str | None, Parameter(help="File that holds the import token to take; by default one is made up.")
    ] = None,
    state: Annotated[
        Path | None, Parameter(help="File that keeps events and profiles from one run to the next, saved as they come.")
    ] = None,
    taxonomy: Annotated[
        str | None, Parameter(help="File of what is registered (see typegen); what is not is refused with 40001.")
    ] = None,
    json: JsonFlag = False,
    _base_url: Annotated[str | None, Parameter(name="--base-url", show=False)] = None,
) -> Exit:
    """Run the API on this machine, in memory, until Ctrl-C; with a page for people at its address.

    Prints its address and the tokens it takes as lines that a shell can take:

      dfinery emulate --port 8080 > emulator.env &
      . ./emulator.env

    or, with --json, as one object on one line.
    """
    if not 0 <= port <= _HIGHEST_PORT:
        raise CliError(f"--port: no port has the number {port}; 0 takes a free one")
    if state is not None and not (state.is_file() or os.access(state.absolute().parent, os.W_OK)):
        raise CliError(f"--state: {state} can't be written")
    token = None if import_token_file is None else read_token(import_token_file)
    try:
        emulator = Emulator(
            port=port,
            quota=read_quotas(quota),
            service_id=service_id,
            import_token=token,
            state=state,
            keep_requests=_REQUESTS_KEPT,
            taxonomy=None if taxonomy is None else read_taxonomy(taxonomy).to_dict(),
            unregistered="reject",
        )
        for text in fault or ():
            emulator.inject(Fault.parse(text))
    except ValueError as error:
        raise CliError(str(error)) from None
    return run(_serve(emulator, port, as_json=json))


async def _serve(emulator: Emulator, port: int, *, as_json: bool) -> Exit:
    with Interrupts() as interrupts:
        try:
            async with started(emulator, port):
                _announce(emulator, as_json=as_json)
                await interrupts.wait()
        except BrokenPipeError:
            raise  # of standard output
        except OSError as error:  # its object is printed already, so that this is only said
            warn(f"--state: the file can't be written: {str(error.strerror).lower()}; it is as it was before")
            return Exit.INCOMPLETE
        return Exit.INTERRUPTED if interrupts.first is signal.SIGINT else Exit.OK


@asynccontextmanager
async def started(emulator: Emulator, port: int = 0) -> AsyncGenerator[Emulator]:
    """Run an emulator while the block lasts.

    Raises:
        CliError: it can't be started.
    """
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(emulator)
        except ImportError as error:
            raise CliError(str(error)) from None
        except ValueError as error:
            raise CliError(f"--state: {error}") from None
        except OSError as error:
            reason = str(error.strerror).lower()
            raise CliError(f"can't listen on port {port}: {reason}; --port 0 takes a free one") from None
        yield emulator


def _announce(emulator: Emulator, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "base_url": emulator.base_url,
                "service_id": emulator.service_id,
                "import_token": emulator.import_token,
                "export_token": emulator.export_token,
            }
        )
        return
    for name, value in emulator.environment.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
    say(f"the emulator answers at {emulator.base_url}, and shows there what comes; Ctrl-C ends it")
