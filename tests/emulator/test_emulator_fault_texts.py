"""Faults as the command line writes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from dfinery_async.emulator import Fault
from dfinery_async.emulator.faults import FaultKind


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("latency=50ms", Fault("latency", seconds=0.05)),
        ("latency=2s,rate=10%", Fault("latency", seconds=2, rate=0.1)),
        ("5xx", Fault("status", status=500)),
        ("5xx=2%", Fault("status", status=500, rate=0.02)),
        ("5xx=0.02", Fault("status", status=500, rate=0.02)),
        ("5xx=503,rate=0.5", Fault("status", status=503, rate=0.5)),
        ("status=503,retry_after=7,body=html", Fault("status", status=503, retry_after="7", body="html")),
        ("code=50000", Fault("code", code=50000)),
        ("code=5%,code=40403", Fault("code", code=40403, rate=0.05)),
        ("reset=1%", Fault("reset", rate=0.01)),
        ("reset=0.5", Fault("reset", rate=0.5)),
        ("lost_answer=0.5%,family=events", Fault("lost_answer", rate=0.005, family="events")),
        ("hang, times=1, after=2", Fault("hang", times=1, after=2)),
        ("throttle=5s", Fault("throttle", seconds=5)),
        ("truncate=4096,form=close", Fault("truncate", size=4096, form="close")),
        ("poison=df_bad", Fault("poison", match="df_bad")),
        ("redirect=https://x.invalid/", Fault("redirect", location="https://x.invalid/")),
        ("html=3%,processed=true", Fault("html", rate=0.03, processed=True)),
    ],
)
def test_faults_in_the_form_of_the_command_line(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault
    assert Fault.parse(str(fault)) == fault


@given(
    kind=st.sampled_from(["latency", "throttle", "status", "truncate", "drip", "lost_answer"]),
    rate=st.floats(0, 1),
    seconds=st.floats(0, 1e6),
    status=st.none() | st.integers(200, 599),
    size=st.integers(0, 10**9),
    times=st.none() | st.integers(0, 99),
    processed=st.booleans(),
)
def test_a_fault_is_read_back_from_its_text(kind: FaultKind, **fields: Any) -> None:
    fault = Fault(kind, **fields)

    assert Fault.parse(str(fault)) == fault


def test_a_fault_made_in_code_has_a_text_too() -> None:
    assert str(Fault("poison", match=lambda _: True)).startswith("poison=<")


@pytest.mark.parametrize(
    "text",
    ["", "flood", "latency=soon", "reset=often", "reset,chance=1", "reset,times", "status=a", "reset=200%", "poison",
     "html,processed=perhaps", "status=999", "reset,family=event", "truncate=1,form=half"],
)  # fmt: skip
def test_faults_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        Fault.parse(text)


def test_what_can_be_read_is_said() -> None:
    with pytest.raises(ValueError, match=r"rate='often' can't be read; expected a share such as 2% or 0.02"):
        Fault.parse("reset=often")
