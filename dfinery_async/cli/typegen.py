"""`dfinery typegen`: typed event classes from a taxonomy file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from dfinery_async.cli.exits import CliError, Exit, unwritable
from dfinery_async.cli.output import print_json, say, warn
from dfinery_async.cli.settings import NO_SERVICE, JsonFlag, UnusedService
from dfinery_async.cli.texts import plain
from dfinery_async.core.typegen import typed_module
from dfinery_async.errors import InvalidInputError
from dfinery_async.runtime.files import AtomicFile
from dfinery_async.runtime.taxonomy import read_taxonomy

__all__ = ["HELP", "typegen"]

HELP: Final = """Write typed event classes from a taxonomy.

A taxonomy is a file in JSON, or in YAML (.yaml, with the extra yaml), of what
is registered with your service; what is standard in DFINERY is built in:

  {"events": [{"name": "shop_rated", "properties": ["shop_stars"]}],
   "event_properties": [{"name": "shop_stars", "type": "Long"}]}

There is a class for each event, whose fields are its properties. A mistyped
name is then found by the type checker, and where the object is made:

  dfinery typegen taxonomy.json -o events.py

The module needs dfinery_async and nothing of this command. The same taxonomy
gives the same text, so that --check in CI says whether the file is up to date.

--json prints, with -o: path and up_to_date.

Exit codes: 0 all well; 1 with --check: the file is not up to date; 2 wrong
use, or a taxonomy that can't be read.
"""


def typegen(
    taxonomy: Annotated[str, Parameter(help="File of the taxonomy.")],
    *,
    output: Annotated[
        str | None,
        Parameter(
            name=["--output", "-o"], allow_leading_hyphen=True, help="Python file to write; standard output by default."
        ),
    ] = None,
    check: Annotated[
        bool, Parameter(negative="", help="Write nothing, and say whether the file of -o is up to date.")
    ] = False,
    json: JsonFlag = False,
    _service: UnusedService = NO_SERVICE,
) -> Exit:
    """Write typed event classes from a taxonomy."""
    if json and output in {None, "-"}:
        raise CliError("--json needs a file for the classes: name it with -o")
    text = typed_module(read_taxonomy(taxonomy), Path(taxonomy).name)
    if check:
        return _check(text, output, as_json=json)
    if output is None or output == "-":
        sys.stdout.write(text)
        return Exit.OK
    try:
        with AtomicFile(Path(output)) as file:
            file.write(text.encode())
            file.commit()
        Path(output).chmod(0o644)  # code, and nothing personal
    except OSError as error:
        raise unwritable(output, error) from None
    except InvalidInputError as error:
        raise CliError(f"{plain(output)} can't be written: {error.args[0]}") from None
    if json:
        print_json({"path": output, "up_to_date": True})
    return Exit.OK


def _check(text: str, output: str | None, *, as_json: bool) -> Exit:
    if output is None:
        raise CliError("--check needs the file: -o FILE.py")
    try:
        same = Path(output).read_bytes() == text.encode()
    except OSError:
        same = False
    if as_json:
        print_json({"path": output, "up_to_date": same})
    if not same:
        warn(f"{plain(output)} is not what the taxonomy gives; make it again without --check")
        return Exit.INCOMPLETE
    say(f"{plain(output)} is up to date")
    return Exit.OK
