from __future__ import annotations

import os
import stat

import pytest

from dfinery_async.errors import InvalidInputError
from dfinery_async.runtime import files
from dfinery_async.runtime.files import AtomicFile


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_has_its_name_when_it_is_whole(tmp_path):
    goal = tmp_path / "out.csv"

    with AtomicFile(goal) as file:
        file.write(b"abc")
        (part,) = names(tmp_path)
        assert part.startswith("out.csv.")
        assert part.endswith(".part")
        file.sync()
        assert not goal.exists()
        file.commit()

    assert names(tmp_path) == ["out.csv"]
    assert goal.read_bytes() == b"abc"


def test_only_the_user_may_read_it_even_while_it_grows(tmp_path):
    goal = tmp_path / "out.csv"
    before = os.umask(0)
    try:
        with AtomicFile(goal) as file:
            (part,) = tmp_path.iterdir()
            assert stat.S_IMODE(part.stat().st_mode) == 0o600
            file.commit()
    finally:
        os.umask(before)

    assert stat.S_IMODE(goal.stat().st_mode) == 0o600


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path):
    goal = tmp_path / "out.csv"
    goal.write_bytes(b"old")

    with AtomicFile(goal) as file:
        file.write(b"new")
    assert goal.read_bytes() == b"old"
    with AtomicFile(goal) as file:
        file.write(b"new")
        file.commit()

    assert goal.read_bytes() == b"new"
    assert names(tmp_path) == ["out.csv"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), AtomicFile(tmp_path / "out.csv") as file:
        file.write(b"x" * 100_000)
        raise ZeroDivisionError

    assert names(tmp_path) == []


def test_a_file_can_go_back(tmp_path):
    goal = tmp_path / "out.csv"

    with AtomicFile(goal) as file:
        file.write(b"abc")
        size = file.size
        file.write(b"x" * 100_000)
        file.truncate(size)
        file.write(b"d")
        file.commit()

    assert (size, goal.read_bytes()) == (3, b"abcd")


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    goal = tmp_path / "out.csv"

    with AtomicFile(goal) as one, AtomicFile(goal) as other:
        one.write(b"one")
        other.write(b"other")
        one.commit()
        other.commit()

    assert goal.read_bytes() == b"other"
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.parametrize(
    ("kind", "what"), [("directory", "a directory"), ("link", "a symbolic link"), ("pipe", "no plain")]
)
def test_what_is_no_plain_file_is_refused(tmp_path, kind, what):
    goal = tmp_path / "out.csv"
    if kind == "directory":
        goal.mkdir()
    elif kind == "link":
        goal.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(goal)

    with pytest.raises(InvalidInputError, match=f"path: is {what}"):
        AtomicFile(goal)
    assert names(tmp_path) == ["out.csv"]


def test_a_link_that_takes_the_name_meanwhile_is_not_followed(tmp_path):
    goal = tmp_path / "out.csv"

    with pytest.raises(InvalidInputError, match="symbolic link"), AtomicFile(goal) as file:
        goal.symlink_to(tmp_path / "elsewhere")
        file.commit()

    assert names(tmp_path) == ["out.csv"]


def test_a_planted_part_file_is_not_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "token_hex", lambda _: "0")
    (tmp_path / "out.csv.0.part").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        AtomicFile(tmp_path / "out.csv")
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_is_missing_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        AtomicFile(tmp_path / "nowhere" / "out.csv")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
def test_a_full_disk_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space"), AtomicFile(tmp_path / "out.csv") as file:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file._file.fileno())
        os.close(full)
        file.write(b"x")
        file.sync()

    assert names(tmp_path) == []
