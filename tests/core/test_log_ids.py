"""An event's log id: every usual spelling is taken, what is no UUID is refused, and an id stays."""

from __future__ import annotations

import copy
import pickle
import uuid
from typing import Any

import pytest
from hypothesis import given, strategies as st
from values_kit import ID, Text

from dfinery_async import Event, InvalidInputError


@pytest.mark.parametrize(
    "spelling",
    [
        ID,
        ID.upper(),
        ID.replace("-", ""),
        ID.replace("-", "").upper(),
        f"{{{ID}}}",
        f"{{{ID.upper()}}}",
        f"urn:uuid:{ID}",
        f"URN:UUID:{ID}",
        f"  {ID}\n",
        Text(ID),
        uuid.UUID(ID),
    ],
    ids=repr,
)
def test_a_log_id_in_any_usual_spelling_is_written_as_the_api_wants_it(spelling: Any) -> None:
    event = Event("x", log_id=spelling)

    assert event.log_id == ID
    assert type(event.log_id) is str


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "x",
        ID[:-1],
        f"{ID}a",
        f"{{{ID}",
        f"{ID}}}",
        "{}",
        f"1736127490036:{ID}",
        ID.replace("-", "_"),
        "5f0c7c0e_6a0e_4d0e_9d53_6b1f7c1a",
        "0x0c7c0e6a0e4d0e9d536b1f7c1a90aa",
        "+f0c7c0e6a0e4d0e9d536b1f7c1a90aa",
        "5-f0c7c0e6a0e4d0e9d536b1f7c1a90aa",
        "٣" * 32,
        ID.replace("-", "\u2010"),
        ID.replace("5", "g"),
        ID.encode(),
        uuid.UUID(ID).int,
        [ID],
        True,
    ],
    ids=repr,
)
def test_a_log_id_that_is_no_uuid_is_refused(spelling: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^log_id: must be a UUID"):
        Event("x", log_id=spelling)


@given(st.uuids())
def test_every_uuid_is_kept(value: uuid.UUID) -> None:
    assert Event("x", log_id=value).log_id == Event("x", log_id=str(value)).log_id == str(value)


def test_each_event_gets_an_id_of_its_own_that_stays() -> None:
    events = [Event("x") for _ in range(1000)] + [Event("x", log_id=None)]

    assert len({event.log_id for event in events}) == 1001
    assert {uuid.UUID(event.log_id).version for event in events} == {4}
    for event in events[:3]:
        assert copy.deepcopy(event).log_id == event.log_id
        assert pickle.loads(pickle.dumps(event)).log_id == event.log_id  # noqa: S301
