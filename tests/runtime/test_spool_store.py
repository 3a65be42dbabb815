"""One store: what it keeps, what it gives back, and what it does with a file that is not what it should be."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from spool_kit import BINDING, bytes_in, modes, opened, rows

from dfinery_async.core.spool_shelf import Cleanup
from dfinery_async.errors import SpoolCorrupt, SpoolError, SpoolFull
from dfinery_async.runtime.spool.rescue import open_or_rescue
from dfinery_async.runtime.spool.store import Store
from dfinery_async.runtime.spool.writer import Step

MIB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        yield store


def append(store: Store, *numbers: int) -> None:
    assert store.commit(Step(rows=rows(numbers, store.seed)))[1:] == (None, None)


def numbers_in(store: Store, after: int = 0, most: int = 1000) -> list[int]:
    return [unit.seq for unit in store.read(after, most).units]


def test_units_come_back_in_order_and_in_windows(store: Store) -> None:
    append(store, *range(1, 11))

    assert store.read(0, 4).up_to == 4
    assert numbers_in(store, 4, 4) == [5, 6, 7, 8]
    window = store.read(8, 4)
    assert ([unit.seq for unit in window.units], window.up_to) == ([9, 10], None)
    assert store.read(0, 10).up_to == 10
    assert len(store.read(0, 10, most_bytes=1).units) == 1


def test_settings_are_those_of_a_store_that_survives_a_power_cut(tmp_path: Path) -> None:
    for durability, sync in (("power", 2), ("process", 1)):
        store = Store(tmp_path, BINDING, durability)  # type: ignore[arg-type]
        store.open()
        db = store._connection()
        found = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        assert found == {"journal_mode": "wal", "synchronous": sync}
        assert db.execute("PRAGMA secure_delete").fetchone()[0] == 1
        assert db.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
        store.close()


def test_what_is_done_is_not_given_out_after_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path, BINDING)
    first.open()
    append(first, *range(1, 11))
    assert first.commit(Step(done=[[2, 4], [10]]))[1:] == (None, None)
    first.close()

    second = Store(tmp_path, BINDING)
    found = second.open()
    assert (found.first, found.last, found.units) == (1, 10, 7)
    assert sorted(found.done) == [2, 4, 10]
    assert sorted(found.notes) == [4, 10]
    assert numbers_in(second) == [1, 3, 5, 6, 7, 8, 9]
    assert second.commit(Step(cleanup=Cleanup(rows=[2, 4, 10], notes=[4, 10])))[1:] == (None, None)
    second.close()
    with closing(Store(tmp_path, BINDING)) as third:
        assert third.open().done == []


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    store = Store(tmp_path, BINDING)
    store.open()
    append(store, 1, 2, 3)
    store.commit(Step(cleanup=Cleanup(up_to=3)))
    store.close()

    with closing(Store(tmp_path, BINDING)) as again:
        found = again.open()
    assert (found.first, found.last, found.units) == (4, 3, 0)


def test_marks_are_kept_with_the_rows_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path, BINDING)
    store.open()
    store.commit(Step(rows=rows([1], store.seed), marks=[(0, "load:a", "7")]))
    _, problem, _ = store.commit(Step(rows=rows([1], store.seed), marks=[(0, "load:a", "8")]))
    assert isinstance(problem, SpoolError)
    assert store.marks("load:") == {"load:a": "7"}
    store.close()


def test_only_the_owner_may_read_any_of_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store(tmp_path, BINDING)
        store.open()
        append(store, 1)
        assert modes(tmp_path) == dict.fromkeys(("reserve", "spool.db", "spool.db-wal"), "0o600")
        store.close()
    finally:
        os.umask(before)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir(0o700)
    for name in ("spool.db", "spool.db-wal", "spool.db-shm"):
        (folder / name).symlink_to(victim)
        with pytest.raises(SpoolError, match="no plain file"):
            Store(folder, BINDING).open()
        (folder / name).unlink()
    assert victim.read_text() == "mine"


def test_nothing_of_what_is_done_stays_on_the_disk(store: Store, tmp_path: Path) -> None:
    canaries = (b"kim-CANARY@example.com", b"+82-10-CANARY")
    key = b'{"email":"kim-CANARY@example.com"}'
    many = []
    for number in range(1, 2001):
        (row,) = rows([number], store.seed)
        many.append((*row[:4], key, row[5] + b"+82-10-CANARY", row[6]))
    store.commit(Step(rows=many))
    found = bytes_in(tmp_path)
    assert all(canary in found for canary in canaries)  # the look does see them

    store.commit(Step(done=[list(range(1, 2001))]))
    store.commit(Step(cleanup=Cleanup(rows=list(range(1001, 2001)))))
    store.commit(Step(cleanup=Cleanup(up_to=1000)))
    while store.tidy():
        pass
    found = bytes_in(tmp_path)
    assert not any(canary in found for canary in canaries)
    assert (tmp_path / "spool.db").stat().st_size < 100_000  # and the room was given back


def test_a_store_has_a_bound_and_stays_usable_at_it(tmp_path: Path) -> None:
    store = Store(tmp_path, BINDING, max_bytes=MIB)
    store.open()
    number = 1
    while True:
        appended, problem, rest = store.commit(Step(rows=rows(range(number, number + 100), store.seed)))
        number += appended
        if problem is not None:
            break
    assert isinstance(problem, SpoolFull)
    assert rest is None
    assert numbers_in(store, most=100_000) == list(range(1, number))
    step = Step(rows=rows(range(number, number + 100), store.seed), done=[list(range(1, 50))])
    appended, problem, rest = store.commit(step)
    assert appended == 0
    assert isinstance(problem, SpoolFull)
    assert rest is None
    store.commit(Step(cleanup=Cleanup(up_to=number - 1)))
    append(store, *range(number, number + 100))
    store.close()


def test_rows_that_changed_on_disk_are_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path, BINDING)
    store.open()
    append(store, *range(1, 8))
    store.close()
    with closing(sqlite3.connect(tmp_path / "spool.db")) as db, db:
        db.execute("UPDATE unit SET body = 'text' WHERE seq = 2")
        db.execute("UPDATE unit SET crc = crc + 1 WHERE seq = 4")
        db.execute("UPDATE unit SET user = NULL WHERE seq = 7")
        db.execute("UPDATE unit SET size = 'x' WHERE seq = 6")

    store.open()
    with caplog.at_level(logging.ERROR):
        window = store.read(0, 100)
    assert [unit.seq for unit in window.units] == [1, 3, 5]
    assert (window.damaged, window.up_to) == (4, None)
    assert "4 damaged rows" in caplog.text
    assert numbers_in(store) == [1, 3, 5]
    assert store._connection().execute("SELECT seq FROM dead").fetchall() == [(2,), (4,), (6,), (7,)]
    store.close()


def full_of(tmp_path: Path, count: int) -> Path:
    store = Store(tmp_path, BINDING)
    store.open()
    for start in range(1, count, 500):
        append(store, *range(start, min(count + 1, start + 500)))
    store.commit(Step(done=[[1, 2, count]]))
    store.close()
    return tmp_path / "spool.db"


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_within_a_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 1000)


def zero_a_page(path: Path) -> None:
    overwrite(path, 4096 * 20, bytes(4096))


def flip_bits(path: Path) -> None:
    size = path.stat().st_size
    for place in range(4096 * 5, size, 4096 * 9):
        overwrite(path, place, b"\xff\x00\xff\x7f")


def break_the_header(path: Path) -> None:
    overwrite(path, 0, b"not SQLite")


def break_the_schema(path: Path) -> None:
    overwrite(path, 100, b"\xff" * 200)


def empty_file(path: Path) -> None:
    os.truncate(path, 0)


def other_text(path: Path) -> None:
    path.write_bytes(b"some other file of somebody\n" * 1000)


def overwrite(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


@pytest.mark.parametrize(
    ("damage", "least"),
    [
        (cut, 0),
        (cut_within_a_page, 0),
        (zero_a_page, 1000),
        (flip_bits, 0),
        (break_the_header, 0),
        (break_the_schema, 0),
        (other_text, 0),
    ],
)
def test_a_damaged_file_is_moved_aside_once_and_what_can_be_read_is_kept(
    tmp_path: Path, damage: Any, least: int
) -> None:
    path = full_of(tmp_path, 3000)
    damage(path)
    damaged = path.read_bytes()

    with pytest.raises(SpoolCorrupt, match=r"corrupt-1 beside, and \d+ units") as caught:
        open_or_rescue(Store(tmp_path, BINDING))
    assert (tmp_path / "spool.db.corrupt-1").stat().st_size == len(damaged)
    assert modes(tmp_path)["spool.db.corrupt-1"] == "0o600"
    saved = int(str(caught.value).split(" units")[0].split()[-1])
    store = Store(tmp_path, BINDING)
    found = open_or_rescue(store)
    numbers = numbers_in(store, most=10_000)
    assert len(numbers) == found.units == saved >= least
    assert numbers == sorted(set(numbers) - {1, 2, 3000})
    append(store, found.last + 1)
    store.close()


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = full_of(tmp_path, 10)
    empty_file(path)

    with closing(Store(tmp_path, BINDING)) as store:
        assert open_or_rescue(store).units == 0


def test_a_database_of_somebody_else_is_moved_aside_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE customers (name TEXT)")
        db.execute("INSERT INTO customers VALUES ('kim')")
    with pytest.raises(SpoolCorrupt, match="no file of a spool"):
        open_or_rescue(Store(tmp_path, BINDING))
    with closing(sqlite3.connect(tmp_path / "spool.db.corrupt-1")) as db:
        assert db.execute("SELECT name FROM customers").fetchall() == [("kim",)]


def test_what_was_damaged_of_another_service_is_not_saved_for_ours(tmp_path: Path) -> None:
    path = full_of(tmp_path, 3000)
    zero_a_page(path)
    with pytest.raises(SpoolCorrupt, match="and 0 units"):
        open_or_rescue(Store(tmp_path, "another at https://openapi.dfinery.ai"))


def test_a_newer_file_and_one_of_another_service_are_left_as_they_are(tmp_path: Path) -> None:
    path = full_of(tmp_path, 10)
    with pytest.raises(SpoolError, match="another service id or address"):
        open_or_rescue(Store(tmp_path, "another at https://openapi.dfinery.ai"))
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(SpoolError, match="newer version"):
        open_or_rescue(Store(tmp_path, BINDING))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["reserve", "spool.db"]


class StoreMachine(RuleBasedStateMachine):
    """A store against a dictionary: appended, noted, deleted, opened again, in any order."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile  # noqa: PLC0415 - hypothesis gives a machine no fixture

        self.place = tempfile.TemporaryDirectory()
        self.last = 0
        self.waiting: set[int] = set()
        self.noted: dict[int, list[int]] = {}

    @initialize()
    def begin(self) -> None:
        self.store = Store(Path(self.place.name), BINDING)
        self.store.open()

    @rule(count=st.integers(1, 50))
    def put(self, count: int) -> None:
        append(self.store, *range(self.last + 1, self.last + count + 1))
        self.waiting |= set(range(self.last + 1, self.last + count + 1))
        self.last += count

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def note(self, data: st.DataObject) -> None:
        done = data.draw(st.lists(st.sampled_from(sorted(self.waiting)), min_size=1, max_size=10, unique=True))
        assert self.store.commit(Step(done=[done]))[1:] == (None, None)
        self.waiting -= set(done)
        self.noted[max(done)] = done

    @rule()
    def delete(self) -> None:
        rows_done = [number for done in self.noted.values() for number in done]
        cleanup = Cleanup(rows=rows_done, notes=list(self.noted))
        assert self.store.commit(Step(cleanup=cleanup))[1:] == (None, None)
        self.noted.clear()

    @rule(clean=st.booleans())
    def open_again(self, clean: bool) -> None:
        if clean:
            self.store.close()
        else:
            self.store._connection().close()  # without a checkpoint of ours
        self.store = Store(Path(self.place.name), BINDING)
        found = self.store.open()
        assert found.last == self.last
        assert found.units == len(self.waiting)

    @invariant()
    def gives_what_waits(self) -> None:
        done_now = {number for done in self.noted.values() for number in done}
        assert [number for number in numbers_in(self.store) if number not in done_now] == sorted(self.waiting)

    def teardown(self) -> None:
        self.store.close()
        self.place.cleanup()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=20, stateful_step_count=15, suppress_health_check=list(HealthCheck))
