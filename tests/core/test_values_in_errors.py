"""Nothing of a value is in the error that refuses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from canary import Watch
from hypothesis import given, strategies as st
from values_kit import naive

from dfinery_async import Event, Identity, InvalidInputError

CANARY = "kim.minsu-canary@example.com"


class Canary:
    def __repr__(self) -> str:
        return CANARY

    __str__ = __repr__


class CanaryMapping(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return CANARY

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return CANARY


BAD_WITH_CANARY = st.sampled_from(
    [
        Canary(),
        CanaryMapping(),
        {CANARY},
        (CANARY, 1),
        [CANARY, None],
        [[CANARY]],
        {CANARY: CANARY},
        CANARY.encode(),
        f"{CANARY}\ud800",
        [f"{CANARY}\ud800"],
        2**64,
        naive(2024, 1, 1),
    ]
)
an_event: Any = Event
an_identity: Any = Identity
BREAKING: list[Callable[[Any], object]] = [
    lambda value: an_event("x", properties={"df_price": value}),
    lambda value: an_event("x", properties=[value]),
    lambda value: an_event("x", items=[{"df_price": value}]),
    lambda value: an_event("x", items=[[value]]),
    lambda value: an_event("x", items=Canary() if isinstance(value, str) else [value, Canary()]),
    lambda value: an_event("x", log_id=value),
    lambda value: an_event("x", datetime=value),
    lambda value: an_event([value]),
    lambda value: an_identity(external_id=[value]),
    lambda value: an_identity(email=f"{CANARY}\udc00"),
    lambda value: an_identity.of([value]),
    lambda value: an_event.of([value]),
    lambda value: an_event("x", log_id=CANARY),
]


@given(st.sampled_from(BREAKING), BAD_WITH_CANARY)
def test_an_error_never_carries_the_value(call: Any, value: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        call(value)
    error = caught.value
    seen: list[BaseException | None] = [
        error,
        error.__cause__,
        None if error.__suppress_context__ else error.__context__,
    ]

    for text in [str(error), repr(error), str(error.args), str(vars(error)), *map(repr, seen)]:
        assert "canary" not in text
        assert str(2**64) not in text


def test_the_check_for_values_in_errors_can_fail(canary: Watch) -> None:
    assert "canary" in str(InvalidInputError(f"bad value {CANARY}", field="properties.a"))
    canary.forget()
