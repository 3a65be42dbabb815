"""The emulator is held to the OpenAPI file by schemathesis: `nox -s contract`.

schemathesis makes calls out of the file, good ones and bad ones, and compares each answer with it. Its own checks on
what has to be accepted and refused look at the HTTP status; this API tells most refusals with HTTP 200 and a code, so
`the_code_tells` stands in for them.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="run by `nox -s contract`, which installs it")

from hypothesis import HealthCheck, settings  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.core.parameters import ParameterLocation  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

import dfinery_async.emulator  # noqa: E402
from dfinery_async.emulator import Emulator  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(dfinery_async.emulator.__file__).with_name("openapi.yaml")
EXAMPLES = 100

# Whether a call is accepted stands in the code, not in the status.
BY_STATUS = [
    checks.ignored_auth,
    checks.missing_required_header,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
]


api = schemathesis.openapi.from_path(FILE)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    quota = dict.fromkeys(["events", "identities", "profiles", "exports"])
    with Emulator(export_days=None, quota=quota, keep_bodies=False, keep_requests=1) as running:
        yield running


def accepted(response: Any) -> bool:
    if response.status_code != 200:
        return False
    if response.headers["content-type"][0].startswith("text/csv"):
        return True
    reply = response.json()
    return str(reply.get("code")) == "20000" and reply["status"] is True


def beyond_the_schema(case: Any) -> bool:
    """What a schema can't say: a range of dates that runs backwards, and 100 items in all the events of a request."""
    body = case.body
    if not isinstance(body, dict):
        return False
    if "from_date" in body and "to_date" in body:
        return bool(body["from_date"] > body["to_date"])
    events = body.get("events")
    return isinstance(events, list) and sum(len(event.get("event_items") or ()) for event in events) > 100


def the_code_tells(_ctx: Any, response: Any, case: Any) -> None:
    good = case.meta.generation.mode is GenerationMode.POSITIVE
    if good and not accepted(response) and not beyond_the_schema(case):
        raise AssertionError(f"a good call was refused: {response.text[:200]}")
    if not good and accepted(response):
        raise AssertionError("a bad call was accepted")


def well_made(case: Any, part: ParameterLocation) -> bool:
    """Whether a part of the call is none of those that are wrong on purpose."""
    components = case.meta.components
    return part not in components or components[part].mode is GenerationMode.POSITIVE


@api.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True)
def test_the_emulator_keeps_to_the_file(case, emulator):
    if well_made(case, ParameterLocation.QUERY):
        case.query["service_id"] = emulator.service_id
    if well_made(case, ParameterLocation.HEADER):
        case.headers["access_token"] = emulator.import_token
        case.headers["Authorization"] = f"Bearer {emulator.export_token}"
    case.call_and_validate(base_url=emulator.base_url, additional_checks=[the_code_tells], excluded_checks=BY_STATUS)


@pytest.mark.parametrize(("code", "mode"), [("40001", GenerationMode.POSITIVE), ("20000", GenerationMode.NEGATIVE)])
def test_the_check_can_fail(code, mode):
    reply = SimpleNamespace(
        status_code=200,
        headers={"content-type": ["application/json"]},
        text="",
        json=lambda: {"status": code == "20000", "code": code},
    )
    call = SimpleNamespace(body={}, meta=SimpleNamespace(generation=SimpleNamespace(mode=mode)))

    with pytest.raises(AssertionError):
        the_code_tells(None, reply, call)
