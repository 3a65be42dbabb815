"""The books balance after every step, and a flush waits for just what came before it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from dfinery_async.core.books import Books, Fate
from dfinery_async.core.work import Work

FATES: tuple[Fate, ...] = ("delivered", "rejected", "dropped", "spooled")


def work() -> Work:
    return Work("events", b"{}", size=2)


@given(st.lists(st.one_of(st.just("accept"), st.just("flush"), st.sampled_from(FATES)), max_size=200))
def test_books_balance(steps: list[Any]) -> None:
    books, pending, flushes = Books(), list[Work](), list[tuple[int, list[Work]]]()
    for step in steps:
        if step == "accept":
            pending.append(work())
            books.accept(pending[-1])
        elif step == "flush":
            flushes.append((books.close_epoch(), list(pending)))
        elif pending:
            books.settle([pending.pop()], step)
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


def test_a_work_is_entered_once() -> None:
    books, unit = Books(), work()
    books.accept(unit)
    books.settle([unit], "delivered")
    with pytest.raises(ValueError, match="settled twice"):
        books.settle([unit], "delivered")
