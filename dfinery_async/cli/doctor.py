"""`dfinery doctor`: settings, tokens, clock, reachability and quota; nothing is changed anywhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from dfinery_async.addresses import parse_origin
from dfinery_async.cli.checks import Checks
from dfinery_async.cli.exits import CliError, Exit, exit_of
from dfinery_async.cli.interrupts import interruptible, run
from dfinery_async.cli.settings import (
    NO_SERVICE,
    JsonFlag,
    Service,
    TokenName,
    find_base_url,
    find_service_id,
    find_token,
)
from dfinery_async.cli.texts import plain, until
from dfinery_async.client import DfineryClient
from dfinery_async.config import FAMILIES, Family, PacingConfig, RetryConfig, TimeoutConfig
from dfinery_async.errors import (
    ApiError,
    ConfigError,
    DfineryError,
    InvalidServiceId,
    InvalidToken,
    RateLimited,
    ServerError,
)
from dfinery_async.models import Probe, Quota

__all__ = ["HELP", "doctor"]

HELP: Final = """Check settings, tokens, clock, reachability and quota. Changes nothing.

The API has no call for this. So one without any user or event is made, which
it has to refuse, and, where it does not say why, the same with a made-up
token: only where the two are answered differently is it proven that yours is
accepted. Each counts as a call of the events family. --exports does the same
with an export that asks for nothing; it may cost two of 100 calls an hour.

  dfinery doctor
  dfinery doctor --exports --json

--json prints: checks (name, result, detail and remedy of each), quota (by
family, null where nothing is known), seconds (of the steps), skew (of this
machine's clock against the API's) and expires_at (of the certificate).

Exit codes: 0 nothing is wrong, though not all may have been checked; 1 there
is a warning; 2 a setting is missing or wrong; 3 the token or the service id is
refused; 4 the API can't be reached; 130 interrupted.
"""

_SKEW: Final = 2.0  # seconds between the clocks from which on they are worth a warning
_EXPIRY: Final = dt.timedelta(days=7)
_MADE_UP: Final = "made-up-by-dfinery-doctor"
_TIMEOUTS: Final = TimeoutConfig(connect=5.0, read=10.0, write=10.0, total=15.0)
_RETRY: Final = RetryConfig(total=5.0)  # the quota is waited for no longer than that
_STEPS: Final = ("resolve_seconds", "connect_seconds", "tls_seconds", "answer_seconds")
_NOBODY: Final = "nobody answered"


def doctor(
    *,
    service: Service = NO_SERVICE,
    import_token_file: Annotated[
        str | None, Parameter(help="File that holds the import token; by default that of DFINERY_IMPORT_TOKEN.")
    ] = None,
    export_token_file: Annotated[
        str | None, Parameter(help="File that holds the export token; by default that of DFINERY_EXPORT_TOKEN.")
    ] = None,
    exports: Annotated[
        bool, Parameter(negative="", help="Check the export token, too; may cost two of 100 calls an hour.")
    ] = False,
    json: JsonFlag = False,
) -> Exit:
    """Check settings, tokens, clock, reachability and quota."""
    files: dict[TokenName, str | None] = {"import": import_token_file}
    if exports:
        files["export"] = export_token_file
    checks = Checks(as_json=json)
    settings = _settings(checks, service, files)
    if settings is None:
        checks.finish(_figures(None, {}))
        return checks.exit
    return run(interruptible(lambda: _examine(checks, settings, exports=exports)))


def _settings(checks: Checks, service: Service, files: dict[TokenName, str | None]) -> dict[str, Any] | None:
    """Look at the settings before anything is sent. Returns a client's arguments, or `None` if they won't do."""
    found: dict[str, Any] = {"base_url": find_base_url(service), "timeouts": _TIMEOUTS, "retry": _RETRY}
    missing: list[CliError] = []
    try:
        found["service_id"] = find_service_id(service)
    except CliError as error:
        missing.append(error)
    for kind, file in files.items():
        try:
            found[f"{kind}_token"] = find_token(kind, file)
        except CliError as error:
            missing.append(error)
    for each in missing:
        what, _, remedy = str(each).partition(": ")
        checks.fail("settings", what, remedy, each.code)
    if missing:
        return None
    try:
        DfineryClient(**found)
    except ConfigError as error:
        checks.fail("settings", str(error), "mend it in the environment or the options", Exit.USAGE)
        return None
    tokens = " and ".join(f"{kind} token" for kind in files)
    checks.ok("settings", f"service {found['service_id']}, {tokens}, {found['base_url']}")
    return found


async def _examine(checks: Checks, settings: dict[str, Any], *, exports: bool) -> Exit:
    async with DfineryClient(**settings) as client:
        probe = await client.probe()
        _way(checks, probe, secure=parse_origin(settings["base_url"]).scheme == "https")
        await _token(checks, "import", probe, settings)
        if not exports:
            checks.skip("export token", "only with --exports: it may cost two of 100 calls an hour")
        elif probe.answer_seconds is None:
            checks.skip("export token", _NOBODY)
        else:
            await _token(checks, "export", await client.probe("export"), settings)
        _clock(checks, probe)
        quotas: dict[Family, Quota] = {
            family: quota for family in FAMILIES if (quota := client.quota(family)).limit_period is not None
        }
        _quota(checks, quotas, probe)
    checks.finish(_figures(probe, quotas))
    return checks.exit


def _way(checks: Checks, probe: Probe, *, secure: bool) -> None:
    """Tell how far the way to the API goes, step by step."""
    steps = [
        ("name", probe.resolve_seconds, f"addresses: {probe.addresses}", "check the address, and this machine's DNS"),
        ("connection", probe.connect_seconds, "made", "check the address, and firewalls on the way"),
    ]
    if secure:
        shown = plain(probe.certificate or "")
        expiry = "" if probe.expires_at is None else f", until {probe.expires_at:%Y-%m-%d}"
        told = f"{probe.tls}, certificate for {shown}{expiry}"
        steps.append(("TLS", probe.tls_seconds, told, "check what stands between: a proxy, or a clock that is off"))
    failed = False
    if probe.resolve_seconds is None and probe.trouble is None:
        checks.skip("connection", "something has patched the way of requests; it was not looked at")
        return
    for name, seconds, told, remedy in steps:
        if failed:
            checks.skip(name, _NOBODY)
        elif seconds is None:
            checks.fail(name, str(probe.trouble), remedy, Exit.UNREACHABLE)
            failed = True
        elif name == "TLS" and probe.expires_at is not None and probe.expires_at - _now() < _EXPIRY:
            checks.warn(name, told, "the certificate expires soon; tell whoever runs the API")
        else:
            checks.ok(name, f"{told}, in {seconds * 1000:,.1f} ms")
    if not secure:
        checks.skip("TLS", "plain http, as on this machine an emulator speaks it")


async def _token(checks: Checks, kind: TokenName, probe: Probe, settings: dict[str, Any]) -> None:
    """Tell what the answer proves of a token."""
    name, error = f"{kind} token", probe.error
    if probe.trouble is not None:
        checks.skip(name, _NOBODY)
    elif error is None:
        checks.ok(name, "accepted")
    elif isinstance(error, InvalidToken):
        checks.fail(name, f"refused: {_said(error)}", _hint(error), Exit.UNAUTHORIZED)
    elif isinstance(error, InvalidServiceId):
        checks.fail("service id", f"refused: {_said(error)}", _hint(error), Exit.UNAUTHORIZED)
    elif isinstance(error, RateLimited):
        checks.warn(name, f"nothing is known: {error}", "try again then")
    elif isinstance(error, ServerError) or not isinstance(error, ApiError):
        _no_answer(checks, name, error)
    else:
        made_up: dict[str, Any] = {**settings, f"{kind}_token": _MADE_UP}
        async with DfineryClient(**made_up) as stranger:
            other = (await stranger.probe("import" if kind == "import" else "export")).error
        if isinstance(other, InvalidToken):
            checks.ok(name, f"accepted: an empty request is refused as empty ({_said(error)}), a made-up token as such")
        else:
            checks.skip(name, "not refused, but the API answers a made-up token alike, so that nothing is proven")


def _no_answer(checks: Checks, name: str, error: DfineryError) -> None:
    code = exit_of(error)
    if code is Exit.UNREACHABLE:
        checks.fail(name, str(error), "check DFINERY_BASE_URL or --base-url", code)
    else:
        checks.warn(name, f"nothing is known: {error}", "the API is in trouble; try again later")


def _clock(checks: Checks, probe: Probe) -> None:
    if probe.answer_seconds is None:
        checks.skip("clock", _NOBODY)
    elif probe.skew is None:
        checks.skip("clock", "the answer had no date")
    elif abs(probe.skew) >= _SKEW:
        where = "ahead of" if probe.skew > 0 else "behind"
        told = f"this machine's clock is {abs(probe.skew):,.1f} s {where} the API's"
        checks.warn("clock", told, "set it by NTP: events without a time of their own get this clock's")
    else:
        checks.ok("clock", f"agrees with the API's within {_SKEW:g} s")


def _quota(checks: Checks, quotas: Mapping[Family, Quota], probe: Probe) -> None:
    for family, quota in quotas.items():
        told = f"{family}: {quota.remaining:,} calls left" if quota.remaining is not None else f"{family}:"
        told += f" of a window of {quota.limit_period:,.0f} s"
        told += (
            "" if quota.reset_at is None else f", until {until(max(0.0, (quota.reset_at - _now()).total_seconds()))}"
        )
        if quota.remaining == 0:
            checks.warn("quota", told, "calls wait until then; the vendor raises limits on request")
        else:
            checks.ok("quota", told)
    unknown = [family for family in FAMILIES if family not in quotas]
    if probe.answer_seconds is None:
        checks.skip("quota", _NOBODY)
    elif "events" in unknown:
        checks.skip(
            "quota", f"the answer tells nothing of it; the documented {PacingConfig().events:,} calls a minute count"
        )
    else:
        checks.skip("quota", f"{', '.join(unknown)}: only answers to calls of their own tell")


def _figures(probe: Probe | None, quotas: Mapping[Family, Quota]) -> dict[str, Any]:
    return {
        "quota": {family: msgspec.structs.asdict(quotas[family]) if family in quotas else None for family in FAMILIES},
        "seconds": {step.removesuffix("_seconds"): None if probe is None else getattr(probe, step) for step in _STEPS},
        "skew": None if probe is None else probe.skew,
        "expires_at": None if probe is None else probe.expires_at,
    }


def _said(error: ApiError) -> str:
    """Return what the API said, without our hint."""
    words = [str(word) for word in (error.code, error.message) if word]
    return " ".join(words) or f"HTTP {error.status}"


def _hint(error: ApiError) -> str:
    return f"{error.hint[:1].lower()}{error.hint[1:]}"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
