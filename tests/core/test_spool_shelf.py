from __future__ import annotations

import random

import pytest

from dfinery_async.core import spool_shelf
from dfinery_async.core.spool_away import AwayEpochs
from dfinery_async.core.spool_shelf import RANK, Cleanup, Shelf, local, shelf_of
from dfinery_async.core.work import Work


def filled(count: int, rank: int = 0) -> tuple[Shelf, list[Work]]:
    shelf = Shelf(rank)
    works = [Work("events", b"", 0) for _ in range(count)]
    for number, work in enumerate(works, 1):
        shelf.last = number
        shelf.enter(work, number)
    return shelf, works


def all_of(shelf: Shelf) -> list[Cleanup]:
    found = []
    while cleanup := shelf.cleanup(all_of_it=True):
        found.append(cleanup)
    return found


def test_numbers_say_which_shelf() -> None:
    shelf, (work,) = filled(1, rank=3)

    assert (shelf_of(work.seq), local(work.seq)) == (3, 1)
    assert shelf.leave([work]) == [1]
    assert (shelf_of(work.seq), local(work.seq), work.seq < 0) == (3, 1, True)
    assert RANK > 1 << 40


def test_a_shelf_counts_what_waits_in_memory_and_on_disk_alone() -> None:
    shelf, works = filled(5)
    shelf.away = 7
    assert shelf.waiting == 12
    shelf.leave([works[2]])  # done behind others that are not
    assert shelf.waiting == 11
    shelf.leave([works[0], works[1]])
    assert shelf.waiting == 9
    assert Shelf(0, 1, 9, away=9).waiting == 9


def test_a_shelf_knows_what_is_done_from_the_oldest_on() -> None:
    shelf, works = filled(5)

    assert shelf.low == 0
    shelf.leave([works[1], works[2]])
    assert shelf.low == 0
    shelf.leave([works[0]])
    assert shelf.low == 3
    shelf.leave([works[4], works[3]])
    assert shelf.low == 5
    assert shelf.finished
    assert shelf.caught_up


def test_what_is_done_is_deleted_as_a_range_and_only_when_it_is_worth_it() -> None:
    shelf, works = filled(3)
    shelf.leave(works[:2])
    shelf.noted(2)

    assert not shelf.cleanup()
    assert shelf.cleanup(all_of_it=True) == Cleanup(up_to=2)
    assert not shelf.cleanup(all_of_it=True)


def test_a_long_range_is_deleted_in_pieces() -> None:
    count = 10_000
    shelf, works = filled(count)
    shelf.leave(works)

    ends = [cleanup.up_to for cleanup in iter(shelf.cleanup, Cleanup())]
    ends += [cleanup.up_to for cleanup in all_of(shelf)]
    assert ends[-1] == count
    assert ends == sorted(set(ends), key=lambda end: end or 0)
    assert len(ends) > 3


def test_what_is_done_behind_one_that_is_not_is_deleted_by_itself() -> None:
    shelf, works = filled(6)
    shelf.leave([works[2], works[4]])
    shelf.noted(5)

    assert all_of(shelf) == [Cleanup(rows=[5, 3], notes=[5])]
    shelf.leave([works[0], works[1], works[3], works[5]])
    shelf.noted(6)
    assert shelf.low == 6
    assert all_of(shelf) == [Cleanup(up_to=6)]


def test_scattered_ones_do_not_pile_up_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_shelf, "_SCATTERED", 100)
    monkeypatch.setattr(spool_shelf, "_CHUNK", 64)
    shelf, works = filled(1000)
    for work in works[1:151]:
        shelf.leave([work])
        shelf.noted(local(work.seq))

    pieces = list(iter(shelf.cleanup, Cleanup()))
    assert [len(piece.rows) for piece in pieces] == [64, 64, 22]
    assert sorted(row for piece in pieces for row in piece.rows) == list(range(2, 152))
    assert [len(piece.notes) for piece in pieces] == [0, 0, 150]
    assert len(shelf._in_memory) == 850


def test_what_could_not_be_deleted_is_tried_again() -> None:
    shelf, works = filled(6)
    shelf.leave([works[0], works[3]])
    shelf.noted(1)
    shelf.noted(4)

    first, second = all_of(shelf)
    shelf.restore(first)
    shelf.restore(second)
    assert all_of(shelf) == [first, second]


def test_found_notes_are_kept_until_their_rows_are_gone() -> None:
    shelf = Shelf(0, first=11, last=20, noted=[12, 15], notes=[15])
    assert not shelf.caught_up
    assert shelf.low == 10

    assert all_of(shelf) == [Cleanup(rows=[15, 12], notes=[15])]


def test_after_damage_only_what_is_kept_counts_as_being_on_disk() -> None:
    shelf, works = filled(4)
    shelf.leave([works[1]])

    shelf.lose({1, 3})
    assert [work.seq for work in works] == [1, 0, 3, 0]
    shelf.leave([works[0], works[2]])
    assert shelf.finished


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_deleted_that_is_not_done(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_shelf, "_CHUNK", 5)
    monkeypatch.setattr(spool_shelf, "_DUE", 7)
    monkeypatch.setattr(spool_shelf, "_SCATTERED", 9)
    chance = random.Random(seed)
    shelf = Shelf(0)
    waiting: list[Work] = []
    rows: set[int] = set()
    notes: dict[int, list[int]] = {}
    undone: set[int] = set()
    for _ in range(400):
        match chance.randrange(5):
            case 0 | 1:
                work = Work("events", b"", 0)
                shelf.last += 1
                rows.add(shelf.last)
                undone.add(shelf.last)
                shelf.enter(work, shelf.last)
                waiting.append(work)
            case 2 if waiting:
                group = chance.sample(waiting, min(len(waiting), chance.randint(1, 4)))
                numbers = shelf.leave(group)
                undone -= set(numbers)
                waiting = [work for work in waiting if work.seq > 0]
                notes[max(numbers)] = numbers
                shelf.noted(max(numbers))
            case _:
                cleanup = shelf.cleanup(all_of_it=chance.random() < 0.2)
                if chance.random() < 0.3:
                    shelf.restore(cleanup)  # it failed
                    continue
                if cleanup.up_to is not None:
                    rows = {row for row in rows if row > cleanup.up_to}
                    notes = {last: named for last, named in notes.items() if last > cleanup.up_to}
                rows -= set(cleanup.rows)
                for note in cleanup.notes:
                    notes.pop(note, None)
        assert undone <= rows
        named = {number for each in notes.values() for number in each}
        assert rows - undone <= named, "a row that is done would be sent again after a crash"
    shelf.leave(waiting)
    undone.clear()
    while cleanup := shelf.cleanup(all_of_it=True):
        rows = {row for row in rows if row > (cleanup.up_to or 0)} - set(cleanup.rows)
    assert rows == set()


def test_epochs_of_what_is_on_disk_alone() -> None:
    epochs = AwayEpochs(found=0)
    assert epochs.of(5) == 0
    epochs.went(10, 0)
    epochs.went(11, 2)
    epochs.went(12, 2)
    epochs.went(15, 3)

    assert [epochs.of(seq) for seq in (10, 11, 14, 15, 99)] == [0, 2, 2, 3, 3]
