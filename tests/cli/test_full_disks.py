"""Disks that are full: a message, the report, and nothing half written."""

from __future__ import annotations

import contextlib
import json
import resource
import signal

import pytest
from cli_kit import event_file, event_line, start

from dfinery_async.emulator import Emulator


@contextlib.contextmanager
def files_of_at_most(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_rejects_that_do_not_fit_end_the_load_with_whole_lines_and_a_report(dfinery, emulator, tmp_path):
    rejects = tmp_path / "rejects.jsonl"
    (tmp_path / "e.jsonl").write_bytes(b"".join(event_line(n) + b'{"broken": %d\n' % n for n in range(300)))
    with files_of_at_most(4000):
        code, output, errors = dfinery("load", "events", tmp_path / "e.jsonl", "--rejects", rejects, "--json")

    report = json.loads(output)
    assert (code, errors.count("can't be written: file too large")) == (1, 1)
    assert 0 < len(rejects.read_bytes().splitlines()) == report["unreadable"] - 1
    assert [json.loads(line)["error"]["line"] for line in rejects.read_bytes().splitlines()][:2] == [2, 4]


def test_a_spool_without_room_still_gives_a_report(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 5000)
    with files_of_at_most(200_000):
        code, output, errors = dfinery("load", "events", file, "--spool", tmp_path / "spool", "--json")

    report = json.loads(output)
    assert code == 1
    assert report["accepted"] == report["delivered"] + report["dropped"] + report["spooled"]
    assert "Traceback" not in errors


def test_a_temporary_file_without_room(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 3000)
    with files_of_at_most(4096):
        code, output, errors = dfinery("load", "events", file, "--pack", "full", "--json")

    assert (code, json.loads(output)["accepted"]) == (1, 0)
    assert "the temporary file of --pack full can't be used: " in errors
    assert "TMPDIR" in errors


@pytest.mark.asyncio
async def test_a_state_that_does_not_fit_leaves_what_was_there(tmp_path):
    state = tmp_path / "state.jsonl"
    async with Emulator(state=state):
        pass
    before = state.read_bytes()
    with pytest.raises(OSError, match="File too large"), files_of_at_most(8):
        async with Emulator(state=state):
            pass

    assert state.read_bytes() == before
    assert list(tmp_path.iterdir()) == [state]


def test_a_state_that_can_not_be_kept_is_told(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with start("emulate", "--state", str(folder / "state.jsonl"), "--json") as process:
        json.loads(process.stdout.readline())
        folder.rmdir()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()

    assert (process.returncode, output) == (1, "")
    assert errors == "dfinery: --state: the file can't be written: no such file or directory; it is as it was before\n"


def test_an_emulator_whose_reader_has_gone():
    with start("emulate") as process:
        process.stdout.close()
        errors = process.stderr.read()

    assert (process.returncode, errors) == (1, "")
