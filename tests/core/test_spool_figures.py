from __future__ import annotations

import pytest

from dfinery_async.core.spool_figures import Ages, Figures, line_of, read_line


@pytest.mark.parametrize("oldest", [None, 1_790_000_000.25])
def test_a_line_is_read_whole_or_not_at_all(oldest: float | None) -> None:
    figures = Figures(units=12, oldest=oldest, moment=1_790_000_003.5)
    line = line_of(figures)
    other = line_of(Figures(units=7, oldest=None, moment=1_790_000_001.5))
    assert line.count(b"\n") == 1
    assert read_line(line) == read_line(line[:-1]) == figures
    for place in range(len(line) - 2):
        assert read_line(line[:place]) is None
    for place in range(9, len(other) - 2):  # read while the one was written over the other
        assert read_line(line[:place] + other[place:]) in {None, figures}


@pytest.mark.parametrize("line", [b"", b"\n", b"x", b"00000000 {}", b"00000000 "])
def test_what_is_no_such_line_says_nothing(line: bytes) -> None:
    assert read_line(line) is None


def test_units_wait_since_the_first_note_that_has_them() -> None:
    ages = Ages(10, 100.0)
    ages.note(10, 101.0)
    ages.note(15, 102.0)
    ages.note(16, 104.0)
    assert [ages.of(number) for number in (1, 10, 11, 15, 16, 16)] == [100.0, 100.0, 102.0, 102.0, 104.0, 104.0]


def test_notes_of_a_long_time_take_little_room_and_stay_near() -> None:
    ages = Ages(0, 0.0)
    for number in range(1, 100_001):
        ages.note(number, float(number))
    assert len(ages._numbers) <= 1024
    for number in range(1, 100_001, 997):
        assert abs(ages.of(number) - number) <= 500
