from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from dfinery_async.core import codec
from dfinery_async.core.spool_rows import DamagedRow, note_of, owner_seed, read_events, read_note, read_row, row_of
from dfinery_async.core.work import Work
from dfinery_async.models import Event, Identity

SEED = owner_seed("svc at https://openapi.dfinery.ai")
KEY = codec.encode_identity(Identity(external_id="u", email="kim@example.com"))


def event_work(**properties: Any) -> Work:
    payload = codec.encode_event(Event("e", properties=properties or None))
    return Work("events", payload, len(payload), items=3)


WORKS = [
    event_work(n=1, name="서울"),
    event_work(),
    Work("profiles", {"a": 1, "b": None, "c": [1.5], "d": "x"}, 40, moment="2026-01-02T03:04:05.678Z"),
    Work("identities", None, len(KEY), moment="2026-01-02T03:04:05.678Z"),
]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.family)
def test_a_row_says_what_was_written(work: Work) -> None:
    unit = read_row(row_of(7, KEY, work, SEED), SEED)

    assert (unit.seq, unit.key) == (7, KEY)
    assert (unit.family, unit.payload, unit.size, unit.items, unit.moment) == (
        work.family,
        work.payload,
        work.size,
        work.items,
        work.moment,
    )


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.family)
@pytest.mark.parametrize("column", range(7))
def test_a_changed_row_is_found(work: Work, column: int) -> None:
    row: list[Any] = list(row_of(7, KEY, work, SEED))
    value = row[column]
    others: list[Any] = [None, "text", b"", -1]
    if isinstance(value, int):
        others += [value ^ 1, value ^ (1 << 20)]
    else:
        others += [value[:-1], bytes([value[0] ^ 1]) + value[1:]]
    for other in others:
        row[column] = other
        with pytest.raises(DamagedRow):
            read_row(row, SEED)


def test_rows_of_events_are_read_together_as_one_by_one() -> None:
    rows = [row_of(number, KEY, WORKS[number % 2], SEED) for number in range(7)]

    assert read_events(rows, SEED) == [read_row(row, SEED) for row in rows]
    assert read_events(rows, owner_seed("another")) is None
    assert read_events([*rows, row_of(7, KEY, WORKS[2], SEED)], SEED) is None
    assert read_events([], SEED) is None


@pytest.mark.parametrize("column", range(7))
def test_rows_of_which_one_is_damaged_are_not_read_together(column: int) -> None:
    rows: list[list[Any]] = [list(row_of(number, KEY, WORKS[0], SEED)) for number in range(3)]
    for other in (None, "text", b"", -1):
        damaged = [*rows[:1], [*rows[1][:column], other, *rows[1][column + 1 :]], *rows[2:]]
        assert read_events(damaged, SEED) is None


def test_a_row_of_another_owner_is_not_ours() -> None:
    with pytest.raises(DamagedRow):
        read_row(row_of(7, KEY, WORKS[0], SEED), owner_seed("another"))


@pytest.mark.parametrize("row", [(), (1, 2), (1, 0, 0, 1 << 80, KEY, b"", 0), (1, 9, 0, 0, b"", b"", 0)])
def test_what_is_no_row_is_damaged(row: tuple[Any, ...]) -> None:
    with pytest.raises(DamagedRow):
        read_row(row, SEED)


@given(st.lists(st.integers(1, 1 << 43), min_size=1, unique=True))
def test_a_note_names_the_units_that_are_done(seqs: list[int]) -> None:
    last, packed, crc = note_of(seqs)

    assert last == max(seqs)
    assert read_note(packed, crc) == tuple(seqs)


def test_a_damaged_note_names_none() -> None:
    _, packed, crc = note_of([1, 2, 3])

    assert read_note(bytes([packed[0] ^ 1]) + packed[1:], crc) == ()
    assert read_note(packed[:-1], crc) == ()
    assert read_note(packed, crc ^ 1) == ()
    assert read_note("text", crc) == ()
    assert read_note(None, None) == ()
