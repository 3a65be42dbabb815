"""Where the commands get service id, address and tokens. Never a token as an argument, where others could read it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

from dfinery_async.addresses import DEFAULT_BASE_URL
from dfinery_async.cli.exits import CliError
from dfinery_async.cli.output import warn
from dfinery_async.cli.texts import plain
from dfinery_async.client import DfineryClient
from dfinery_async.config import PacingConfig, RetryConfig, environment

__all__ = [
    "NO_SERVICE",
    "JsonFlag",
    "Service",
    "TokenName",
    "UnusedService",
    "find_base_url",
    "find_service_id",
    "find_token",
    "open_client",
    "read_token",
]

TokenName: TypeAlias = Literal["import", "export"]

JsonFlag: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object on standard output, and no progress.")
]

_LONGEST_TOKEN = 4096


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Service:
    """Which service to talk to.

    Attributes:
        service_id: its id; by default `DFINERY_SERVICE_ID`.
        base_url: the API's address; by default `DFINERY_BASE_URL`, or the vendor's.
    """

    service_id: Annotated[str | None, Parameter(help="Id of the service; by default that of DFINERY_SERVICE_ID.")] = (
        None
    )
    base_url: Annotated[
        str | None, Parameter(help="Address of the API; by default that of DFINERY_BASE_URL, or the vendor's.")
    ] = None


UnusedService: TypeAlias = Annotated[Service, Parameter(show=False)]
"""What commands take that need no service, so that a script may give the same options to all."""

NO_SERVICE: Final = Service()


def open_client(
    service: Service,
    kind: TokenName,
    token_file: str | None,
    *,
    pacing: PacingConfig | None = None,
    retry: RetryConfig | None = None,
) -> DfineryClient:
    """Make a client that holds no other token than the one that the command needs.

    Raises:
        CliError: something is missing.
    """
    service_id = find_service_id(service)
    text = find_token(kind, token_file)
    base_url = find_base_url(service)
    if kind == "import":
        return DfineryClient(service_id, import_token=text, base_url=base_url, pacing=pacing, retry=retry)
    return DfineryClient(service_id, export_token=text, base_url=base_url, pacing=pacing, retry=retry)


def find_service_id(service: Service) -> str:
    """Return the service's id.

    Raises:
        CliError: there is none.
    """
    service_id = service.service_id or environment().get("service_id")
    if not service_id:
        raise CliError("the service id is missing: set DFINERY_SERVICE_ID, or give --service-id")
    return service_id


def find_base_url(service: Service) -> str:
    """Return the API's address."""
    return service.base_url or environment().get("base_url", DEFAULT_BASE_URL)


def find_token(kind: TokenName, file: str | None) -> str:
    """Return a token: that of a file, or that of the environment.

    Raises:
        CliError: there is none.
    """
    text = environment().get(f"{kind}_token") if file is None else read_token(file)
    if not text:
        raise CliError(
            f"the {kind} token is missing: set DFINERY_{kind.upper()}_TOKEN, or name a file that holds it with "
            f"--{kind}-token-file"
        )
    return text


def read_token(path: str) -> str:
    """Return the token in a file, without the line end behind it. Warns when others may read the file, too.

    Raises:
        CliError: the file can't be read, or holds no token.
    """
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - takes any name, and tells a NUL in it as an error
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_LONGEST_TOKEN + 3).rstrip("\r\n")
    except (OSError, ValueError) as error:  # ValueError: no ASCII, or a NUL in the name
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "it is no text"
        raise CliError(f"the token file {plain(path)} can't be read: {reason}") from None
    if not text:
        raise CliError(f"the token file {plain(path)} is empty")
    if os.name == "posix" and stat.S_ISREG(mode) and mode & stat.S_IROTH:
        warn(f"everybody on this machine can read the token file {plain(path)}: chmod 600 keeps it to you")
    return text
