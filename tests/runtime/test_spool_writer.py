"""How a store writes: what concerns many rows is few statements, and what is erased does not swell the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from spool_kit import opened, rows

from dfinery_async.core.spool_shelf import Cleanup
from dfinery_async.runtime.spool.store import Store
from dfinery_async.runtime.spool.writer import Step

MIB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        yield store


def statements(store: Store, step: Step) -> list[str]:
    """Commit a step; returns the first words of all statements that it ran."""
    seen: list[str] = []
    db = store._connection()
    db.set_trace_callback(lambda text: seen.append(text.split(" VALUES")[0].split(" WHERE")[0]))
    try:
        assert store.commit(step)[1:] == (None, None)
    finally:
        db.set_trace_callback(None)
    return seen


def left(store: Store) -> list[int]:
    return [unit.seq for unit in store.read(0, 10_000).units]


@pytest.mark.parametrize("count", [1, 49, 50, 51, 100, 149, 1000])
def test_many_rows_are_few_statements(store: Store, count: int) -> None:
    seen = statements(store, Step(rows=rows(range(1, count + 1), store.seed)))
    assert seen.count("INSERT INTO unit") == count // 50 + count % 50
    assert left(store) == list(range(1, count + 1))


def test_all_rows_up_to_a_number_go_with_one_statement(store: Store) -> None:
    store.commit(Step(rows=rows(range(1, 1001), store.seed)))
    seen = statements(store, Step(cleanup=Cleanup(up_to=900)))
    assert seen.count("DELETE FROM unit") == 1
    assert left(store) == list(range(901, 1001))


def test_large_rows_are_erased_a_transaction_at_a_time(store: Store) -> None:
    large = [(*row[:3], MIB // 4, row[4], b"x" * (MIB // 4), *row[6:]) for row in rows(range(1, 11), store.seed)]
    store.commit(Step(rows=large))
    seen = statements(store, Step(cleanup=Cleanup(up_to=10)))
    assert seen.count("DELETE FROM unit") == 4  # four at a time, two that are left, and whatever is there besides
    assert seen.count("BEGIN IMMEDIATE") > 3
    assert store._connection().execute("SELECT count(*) FROM unit").fetchone() == (0,)


def test_single_rows_among_others_are_erased(store: Store) -> None:
    store.commit(Step(rows=rows(range(1, 101), store.seed)))
    assert store.commit(Step(cleanup=Cleanup(rows=(90, 50, 20))))[1:] == (None, None)
    assert left(store) == [number for number in range(1, 101) if number not in {20, 50, 90}]


def test_a_row_whose_size_is_damaged_is_erased_with_the_others(store: Store) -> None:
    store.commit(Step(rows=rows(range(1, 6), store.seed)))
    store._connection().execute("UPDATE unit SET size = 'large' WHERE seq = 3")
    assert store.commit(Step(cleanup=Cleanup(up_to=4)))[1:] == (None, None)
    assert store._connection().execute("SELECT seq FROM unit").fetchall() == [(5,)]
