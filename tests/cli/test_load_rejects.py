"""Lines that will not do and events that are refused: named, and kept in a file that loads once it is mended."""

from __future__ import annotations

import json
import stat

import msgspec
import pytest
from cli_kit import books, event_file, event_line

from dfinery_async.emulator import Fault


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_bad_lines_are_named_and_the_mended_rejects_load(dfinery, emulator, tmp_path):
    good = [event_line(number) for number in range(40)]
    good[16] = b'{"identity": {"external_id": "u1"}, broken\n'
    good[20] = event_line(20, event_datetime="2 March", event_properties={"note": "kim@example.com"})
    (tmp_path / "e.jsonl").write_bytes(b"".join(good))
    rejects = tmp_path / "rejects.jsonl"
    code, output, errors = dfinery("load", "events", tmp_path / "e.jsonl", "--rejects", rejects, "--json")

    report = books(output)
    assert (code, report["delivered"], report["rejected"], report["unreadable"]) == (1, 38, 2, 2)
    assert f"{tmp_path}/e.jsonl:17: is not valid JSON at byte 37" in errors
    assert f"{tmp_path}/e.jsonl:21: event_datetime: must be a datetime" in errors
    assert "kim@example.com" not in errors
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    broken, wrong = lines(rejects)
    assert broken["text"] == good[16].decode().rstrip()
    assert broken["error"]["line"] == 17
    assert wrong["event_properties"] == {"note": "kim@example.com"}
    assert wrong["error"]["field"] == "event_datetime"

    mended = tmp_path / "mended.jsonl"
    mended.write_bytes(
        msgspec.json.encode({**json.loads(event_line(16)), "error": broken["error"]})
        + b"\n"
        + msgspec.json.encode({**wrong, "event_datetime": "2025-03-02T00:00:00Z"})
    )
    assert dfinery("load", "events", mended)[0] == 0
    assert len(emulator.events) == 40


def test_rejects_are_json_and_keep_their_first_reason(dfinery, emulator, tmp_path):
    bad = [b'{"identity": {"external_id": "\xe9"}, "event_name": 1}', b'"caf\xe9"', b"{", b"[1]", b"x" * 8_400_000]
    (tmp_path / "e.jsonl").write_bytes(b"\n".join(bad))
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    code, _, errors = dfinery("load", "events", tmp_path / "e.jsonl", "--rejects", first)

    assert code == 1
    assert ":5: is longer than 8,388,608 bytes, so that it was passed over, and nothing of it is kept" in errors
    texts = [line.get("text") for line in lines(first)]
    assert texts == [each.decode(errors="replace") for each in bad[:4]] + [None]
    code, _, errors = dfinery("load", "events", first, "--rejects", second)
    assert code == 1
    assert f'{first}:1: is what an earlier load could not read: "error" says why; mend what stands in "text"' in errors
    assert lines(second)[:4] == lines(first)[:4]


def test_refused_events_keep_their_ids_in_the_rejects(dfinery, emulator, tmp_path):
    poison = emulator.inject(Fault("poison", match="bad"))
    file = event_file(tmp_path / "e.jsonl", 20)
    file.write_bytes(file.read_bytes() + event_line(2, event_properties={"note": "bad"}))
    rejects = tmp_path / "rejects.jsonl"
    code, output, errors = dfinery("load", "events", file, "--rejects", rejects, "--json")

    assert (code, books(output)["delivered"], books(output)["rejected"]) == (1, 20, 1)
    assert "refused 1 times: 40001" in errors
    (line,) = lines(rejects)
    assert line["event_properties"] == {"note": "bad"}
    assert line["error"]["code"] == 40001
    poison.remove()
    assert dfinery("load", "events", rejects, "--rejects", tmp_path / "none.jsonl")[0] == 0
    assert emulator.events[-1]["event_log_id"] == line["event_log_id"]
    assert (tmp_path / "none.jsonl").read_bytes() == b""


def test_only_the_first_bad_lines_are_named(dfinery, emulator, tmp_path):
    (tmp_path / "e.jsonl").write_bytes(b"x\n" * 25)
    code, _, errors = dfinery("load", "events", tmp_path / "e.jsonl", "--json")

    assert code == 1
    assert errors.count("e.jsonl:") == 10
    assert "15 more bad lines" in errors


@pytest.mark.parametrize("name", ["input", "link", "directory", "missing/rejects"])
def test_a_rejects_file_that_will_not_do(dfinery, emulator, tmp_path, name):
    file = event_file(tmp_path / "input", 2)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "directory").mkdir()
    code, _, errors = dfinery("load", "events", file, "--format", "jsonl", "--rejects", tmp_path / name)

    assert code == 2
    assert "rejects file" in errors
    assert file.read_bytes() == event_line(0) + event_line(1)
    assert emulator.requests == []


def test_rejects_of_an_earlier_run_are_replaced_and_kept_private(dfinery, emulator, tmp_path):
    rejects = tmp_path / "rejects.jsonl"
    rejects.write_text("old\n")
    rejects.chmod(0o644)
    (tmp_path / "e.jsonl").write_bytes(b"x\n")
    assert dfinery("load", "events", tmp_path / "e.jsonl", "--rejects", rejects)[0] == 1

    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    assert [line["text"] for line in lines(rejects)] == ["x"]
