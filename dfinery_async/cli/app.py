"""The command line as a whole: its commands, and what its errors look like."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from dfinery_async.cli import export_command, load_command, spool_command
from dfinery_async.cli.completion import completion_of
from dfinery_async.cli.demo import demo
from dfinery_async.cli.doctor import HELP as DOCTOR_HELP, doctor
from dfinery_async.cli.emulate import emulate
from dfinery_async.cli.exits import CliError, Exit, ending
from dfinery_async.cli.output import print_json, warn
from dfinery_async.cli.plan import HELP as PLAN_HELP, plan
from dfinery_async.cli.typegen import HELP as TYPEGEN_HELP, typegen
from dfinery_async.errors import DfineryError
from dfinery_async.version import __version__

__all__ = ["run"]

_HELP = """Send customer events to DFINERY and export them again.

Settings come from DFINERY_SERVICE_ID, DFINERY_IMPORT_TOKEN, DFINERY_EXPORT_TOKEN and DFINERY_BASE_URL. Tokens are taken
from the environment or from files, never as arguments, where others could read them.
"""

app: App = App(name="dfinery", version=f"dfinery-async {__version__}", help=_HELP, help_format="plaintext")
app.command(demo)
app.command(load_command.app)
app.command(spool_command.app)
app.command(plan, help=PLAN_HELP)
app.command(export_command.app)
app.command(emulate)
app.command(typegen, help=TYPEGEN_HELP)
app.command(doctor, help=DOCTOR_HELP)
app.command(completion_of(app))

_VALUE = re.compile(r"(--[\w-]+)=\S*")


def run(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command that `arguments` name; by default those of the process.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code, message = _run(given)
        if message is not None:
            warn(message)
            if "--json" in given:
                print_json({"error": message, "exit": code})
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone
        return Exit.INCOMPLETE
    except CliError as error:  # of standard output itself
        warn(str(error))
        return error.code
    return code


def _run(given: Sequence[str]) -> tuple[Exit, str | None]:
    """Run the command. Returns the exit code, and what is to be told where an error ended it."""
    try:
        command, bound, _ = app.parse_args(given, print_error=False, exit_on_error=False)
        result = command(*bound.args, **bound.kwargs)
        if command.__name__ == App.help_print.__name__ and given and not {"--help", "-h"} & {*given}:
            return Exit.USAGE, None  # a group of commands without one of them, whose help is shown
    except CycloptsError as error:
        # Whoever mistyped an option for a token must not see the token printed.
        return Exit.USAGE, _VALUE.sub(r"\1", str(error))
    except CliError as error:
        return error.code, str(error)
    except DfineryError as error:
        return ending(error)
    return (result if isinstance(result, Exit) else Exit.OK), None
