"""The books balance after every step, and a flush waits for just what came before it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from dfinery_async.core.books import Books, Fate, total
from dfinery_async.core.work import Work
from dfinery_async.models import Stats

FATES: tuple[Fate, ...] = ("delivered", "rejected", "dropped", "spooled")


def work() -> Work:
    return Work("events", b"{}", size=2)


STEPS = st.one_of(st.just("accept"), st.just("flush"), st.tuples(st.sampled_from(FATES), st.integers(1, 6)))


@given(st.lists(STEPS, max_size=200))
def test_books_balance(steps: list[Any]) -> None:
    books, pending, flushes = Books(), list[Work](), list[tuple[int, list[Work]]]()
    for step in steps:
        if step == "accept":
            pending.append(work())
            books.accept(pending[-1])
        elif step == "flush":
            flushes.append((books.close_epoch(), list(pending)))
        else:
            fate, count = step
            works, pending = pending[-count:], pending[:-count]
            open_before = [epoch for epoch, _ in flushes if books.open_up_to(epoch)]
            ended = books.settle(works, fate)
            assert ended or all(books.open_up_to(epoch) for epoch in open_before)
        assert books.accepted == sum(books.fates.values()) + books.pending
        assert books.pending_bytes == 2 * books.pending == 2 * len(pending)
        for epoch, covered in flushes:
            assert books.open_up_to(epoch) == any(unit in pending for unit in covered)


def test_the_end_of_an_epoch_is_told() -> None:
    books = Books()
    first, second, later = work(), work(), work()
    books.accept(first)
    books.accept(second)
    books.close_epoch()
    books.accept(later)
    assert not books.settle([first], "delivered")
    assert books.settle([second], "rejected")
    assert books.settle([later], "dropped")


def test_an_end_is_told_whichever_of_a_requests_works_brings_it() -> None:
    books = Books()
    early, late, last = work(), work(), work()
    books.accept(early)
    epoch = books.close_epoch()
    for unit in (late, last):
        books.accept(unit)
    assert books.settle([early, late], "delivered")
    assert not books.open_up_to(epoch)
    assert (books.pending, books.pending_bytes) == (1, 2)
    assert books.settle([last], "delivered")


def test_a_work_is_entered_once() -> None:
    books, unit = Books(), work()
    books.accept(unit)
    books.settle([unit], "delivered")
    with pytest.raises(ValueError, match="settled twice"):
        books.settle([unit], "delivered")


def test_works_on_disk_alone_are_counted_apart_and_covered_by_flushes() -> None:
    books = Books()
    assert books.find(3, 6) == 0
    first, second = work(), work()
    books.accept(first)
    books.accept(second)
    assert (books.accepted, books.pending, books.away, books.away_bytes) == (5, 2, 3, 6)

    epoch = books.close_epoch()
    books.put_away(first)
    assert (books.pending, books.pending_bytes, books.away, books.away_bytes) == (1, 2, 4, 8)
    assert not books.settle([second], "delivered")
    assert not books.settle_away(2, 4, 0, "rejected")
    assert not books.settle_away(0, 0, 7, "rejected")
    books.bring_back(first)
    assert (books.pending, books.away) == (1, 1)
    assert not books.settle([first], "delivered")
    assert books.open_up_to(epoch)
    assert books.settle_away(1, 2, 0, "rejected")
    assert not books.open_up_to(epoch)
    assert books.accepted == sum(books.fates.values()) == 5


def test_what_is_on_disk_alone_stays_there_at_the_end() -> None:
    books = Books()
    books.find(3, 6)
    books.keep_away()
    assert (books.fates["spooled"], books.away, books.away_bytes) == (3, 0, 0)


def test_a_work_that_was_not_taken_over_leaves_no_trace() -> None:
    books, first, second = Books(), work(), work()
    books.accept(first)
    books.accept(second)
    epoch = books.close_epoch()
    assert not books.withdraw(first)
    assert books.open_up_to(epoch)
    assert books.withdraw(second)
    assert (books.accepted, books.pending, books.pending_bytes) == (0, 0, 0)
    assert not books.open_up_to(epoch)


def test_books_of_several_producers_add_up_to_one() -> None:
    one = Stats(accepted=3, delivered=2, pending=1, capacity=10, silent_for=1.0, seconds=5.0, state="throttled")
    other = Stats(accepted=4, delivered=4, capacity=20, seconds=9.0, state="running")

    assert total([one, other, Stats(state="closed")]) == Stats(
        accepted=7, delivered=6, pending=1, capacity=30, silent_for=1.0, seconds=9.0, state="throttled"
    )
