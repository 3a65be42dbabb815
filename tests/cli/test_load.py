from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import stat
import struct
import subprocess
import termios
from typing import Any

import msgspec
import pytest
from cli_kit import COMMAND, ROOT, event_file, event_line, start

from dfinery_async.cli import load_command
from dfinery_async.emulator import Emulator, Fault

BOOKS = ("accepted", "delivered", "rejected", "dropped", "spooled", "pending")


def books(output: str) -> Any:
    report = json.loads(output)
    assert output.count("\n") == 1
    assert {*BOOKS, "requests", "retries", "throttled", "seconds"} <= set(report)
    assert report["accepted"] == sum(report[name] for name in BOOKS[1:])
    return report


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_all_events_of_a_file_arrive(dfinery, emulator, tmp_path):
    code, output, errors = dfinery("load", "events", event_file(tmp_path / "e.jsonl", 300), "--json")

    assert (code, errors) == (0, "")
    assert books(output)["delivered"] == 300
    assert len(emulator.events) == 300
    assert books(output)["requests"] < 100


def test_the_report_for_people(dfinery, emulator, tmp_path):
    code, output, errors = dfinery("load", "events", event_file(tmp_path / "e.jsonl", 3))

    assert (code, errors) == (0, "")
    assert output.splitlines()[0].split()[:2] == ["delivered", "3"]
    assert max(map(len, output.splitlines())) <= 80


def test_a_second_run_makes_no_new_events(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 40)
    dfinery("load", "events", file)
    moved = file.rename(tmp_path / "moved.ndjson")
    dfinery("load", "events", moved)

    assert len(emulator.events) == 80
    assert len({event["event_log_id"] for event in emulator.events}) == 40


def test_several_files_in_their_order(dfinery, emulator, tmp_path):
    header = b"identity.external_id,event_name,event_datetime,event_properties.df_total_purchase_amount\r\n"
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + header + b"u1,df_purchase,2025-03-02T04:11:09Z,12.50\r\n")
    (tmp_path / "a.txt").write_bytes(event_line(1, identity={"external_id": "u1"}))
    code, output, _ = dfinery("load", "events", tmp_path / "b.csv", "--json")
    assert (code, books(output)["delivered"]) == (0, 1)
    code, _, errors = dfinery("load", "events", tmp_path / "b.csv", tmp_path / "a.txt")
    assert code == 2
    assert "a.txt: ends in none of .jsonl, .ndjson, .csv" in errors

    assert [event["event_properties"] for event in emulator.events] == [{"df_total_purchase_amount": 12.5}]


def test_a_byte_order_mark_before_json(dfinery, emulator, tmp_path):
    (tmp_path / "e.jsonl").write_bytes(b"\xef\xbb\xbf" + event_line(1))

    assert dfinery("load", "events", tmp_path / "e.jsonl")[0] == 0


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


def test_profiles_and_identities(dfinery, emulator, tmp_path):
    (tmp_path / "p.csv").write_text("identity.external_id,user_properties.df_name\nu1,Kim\nu2,\n")
    (tmp_path / "i.jsonl").write_text('{"identity": {"external_id": "u3", "email": "lee@example.com"}}\n')

    code, output, _ = dfinery("load", "profiles", tmp_path / "p.csv", "--json")
    assert (code, books(output)["delivered"], books(output)["rejected"]) == (1, 1, 1)
    assert dfinery("load", "identities", tmp_path / "i.jsonl")[0] == 0
    assert {profile.identities.get("external_id") for profile in emulator.profiles} == {"u1", "u3"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", b"identity.external_id,event_name,event_datetime,pirce\n", "unknown column 'pirce'"),
        ("e.csv", b"u1,df_login,2025-03-02T04:11:09Z\n", "has no header"),
        ("e.csv", b"", "is empty"),
        ("e.jsonl", "text".encode("utf-16"), "UTF-16"),
        ("e.jsonl", '{"a": 1}'.encode("utf-16-le"), "full of NUL bytes"),
        ("e.jsonl", b"BZh91AY", "bzip2"),
        ("e.csv", b"PK\x03\x04", "spreadsheet"),
        ("e.dat", b"", "ends in none of"),
    ],
)
def test_a_useless_file_is_wrong_use(dfinery, emulator, tmp_path, name, content, message):  # noqa: PLR0917
    (tmp_path / name).write_bytes(content)
    code, output, errors = dfinery("load", "events", event_file(tmp_path / "good.jsonl", 3), tmp_path / name, "--json")

    assert (code, json.loads(output)["exit"]) == (2, 2)
    assert message in json.loads(output)["error"]
    assert message in errors
    assert name in errors
    assert emulator.requests == []


def test_files_that_can_not_be_read(dfinery, emulator, tmp_path):
    for path, message in [
        (tmp_path, "is a directory"),
        (tmp_path / "no.jsonl", "no such file"),
        ("no\x1b[31m.jsonl", "no\ufffd[31m.jsonl"),
    ]:
        code, _, errors = dfinery("load", "events", path)
        assert code == 2
        assert message in errors
    assert "is a directory" in dfinery("load", "events", tmp_path, "--format", "csv")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no file is named"),
        (["-", "-"], "only once"),
        (["e.jsonl", "--jsn"], "unknown option --jsn"),
        (["--import-token=hunter2hunter2", "e.jsonl"], "unknown option --import-token ("),
        (["e.jsonl", "--format", "xml"], 'Choose from: "jsonl", "csv"'),
    ],
)
def test_wrong_use(dfinery, emulator, arguments, message):
    code, output, errors = dfinery("load", "events", *arguments)

    assert (code, output) == (2, "")
    assert message in errors
    assert "hunter2" not in errors


def test_missing_settings_are_wrong_use(dfinery, tmp_path, monkeypatch):
    file = event_file(tmp_path / "e.jsonl", 1)
    assert "DFINERY_SERVICE_ID" in dfinery("load", "events", file)[2]
    code, _, errors = dfinery("load", "events", file, "--service-id", "devsvc")
    assert code == 2
    assert "DFINERY_IMPORT_TOKEN" in errors
    monkeypatch.setenv("DFINERY_IMPORT_TOKEN", "hunter2 hunter2")
    code, _, errors = dfinery("load", "events", file, "--service-id", "devsvc")
    assert code == 2
    assert "hunter2" not in errors
    monkeypatch.setenv("DFINERY_IMPORT_TOKEN", "x")
    assert dfinery("load", "events", file, "--service-id", "a&b")[0] == 2
    assert dfinery("load", "events", file, "--service-id", "a", "--base-url", "http://example.com")[0] == 2


def test_a_token_from_a_file(dfinery, emulator, tmp_path, monkeypatch):
    monkeypatch.delenv("DFINERY_IMPORT_TOKEN")
    token = tmp_path / "token"
    token.write_text(emulator.import_token + "\n")
    token.chmod(0o600)
    load = ("load", "events", event_file(tmp_path / "e.jsonl", 1), "--import-token-file", token)

    assert dfinery(*load)[::2] == (0, "")
    token.chmod(0o644)
    code, _, errors = dfinery(*load)
    assert code == 0
    assert "chmod 600" in errors
    token.write_text("")
    assert dfinery(*load)[0] == 2
    token.unlink()
    assert dfinery(*load)[0] == 2


@pytest.mark.parametrize("setting", ["DFINERY_IMPORT_TOKEN", "DFINERY_SERVICE_ID"])
def test_not_authorised(dfinery, emulator, tmp_path, monkeypatch, setting):
    monkeypatch.setenv(setting, "wrong")
    code, output, errors = dfinery("load", "events", event_file(tmp_path / "e.jsonl", 500), "--json")

    report = books(output)
    assert (code, report["delivered"], report["pending"]) == (3, 0, 0)
    assert report["dropped"] == report["accepted"] > 0
    assert "wrong" not in errors


def test_unreachable(dfinery, tmp_path, monkeypatch):
    with socket.socket() as listener:  # bound, but it does not listen: connections are refused
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DFINERY_IMPORT_TOKEN", "x")
        monkeypatch.setattr(load_command, "GIVE_UP_AFTER", 0.3)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        file = event_file(tmp_path / "e.jsonl", 5)
        code, output, errors = dfinery("load", "events", file, "--service-id", "x", "--base-url", url, "--json")

    assert (code, books(output)["dropped"]) == (4, 5)
    assert "no answer from the API within 0.3 s" in errors


def test_an_api_that_never_answers_is_unreachable(dfinery, emulator, tmp_path, monkeypatch):
    monkeypatch.setattr(load_command, "GIVE_UP_AFTER", 0.3)
    emulator.inject(Fault("hang"))

    assert dfinery("load", "events", event_file(tmp_path / "e.jsonl", 5))[0] == 4


def test_a_quota_is_waited_for(dfinery, tmp_path, monkeypatch):
    monkeypatch.setattr(load_command, "GIVE_UP_AFTER", 0.3)
    with Emulator(quota={"events": "3/1s"}) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        code, output, _ = dfinery("load", "events", event_file(tmp_path / "e.jsonl", 14), "--json")

    assert (code, books(output)["delivered"]) == (0, 14)


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


def test_standard_input(emulator):
    process = start("load", "events", "-", "--json", env=emulator.environment)
    output, errors = process.communicate((event_line(1) + event_line(2)).decode())

    assert (process.returncode, errors) == (0, "")
    assert books(output)["delivered"] == 2


def start_reading(emulator):
    """Start a load of standard input, and return once it has read an event and, which it says, a bad line."""
    process: Any = start("load", "events", "-", "--json", env=emulator.environment)
    process.stdin.write(event_line(1).decode() + "bad\n")
    process.stdin.flush()
    assert "standard input:2: is not valid JSON" in process.stderr.readline()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_sends_what_was_read(emulator, number):
    with start_reading(emulator) as process:
        process.send_signal(number)
        assert "press Ctrl-C again" in process.stderr.readline()
        report = books(process.stdout.read())

    assert process.returncode == 130
    assert (report["delivered"], report["unreadable"]) == (1, 1)


def test_an_interrupt_after_the_reading_is_one_too(emulator):
    emulator.inject(Fault("latency", seconds=1.0))
    with start_reading(emulator) as process:
        process.stdin.close()
        process.send_signal(signal.SIGINT)
        assert "press Ctrl-C again" in process.stderr.readline()
        report = books(process.stdout.read())

    assert process.returncode == 130
    assert report["delivered"] == 1


def test_two_interrupts_stop_at_once(emulator):
    emulator.inject(Fault("hang"))
    with start_reading(emulator) as process:
        process.send_signal(signal.SIGINT)
        assert "press Ctrl-C again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        report = books(process.stdout.read())

    assert process.returncode == 130
    assert (report["delivered"], report["dropped"], report["requests"]) == (0, 1, 1)


def drawn_on_a_terminal(columns: int, emulator: Emulator, *arguments: str) -> tuple[int, list[str]]:
    """Run a command on a terminal of its own: its exit code, and every line that it drew, each as often as drawn."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**emulator.environment, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    drawn = b""
    with process, contextlib.suppress(OSError):  # reading fails when the other end of a terminal is gone
        while piece := os.read(ours, 65536):
            drawn += piece
    os.close(ours)
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]", drawn.decode())]
    assert "\x1b" not in "".join(lines)
    return process.returncode, lines


@pytest.mark.parametrize("columns", [40, 80, 120, 140])
def test_progress_on_a_terminal(emulator, tmp_path, columns):
    file = event_file(tmp_path / "a\x1b[31mred.jsonl", 50)
    code, drawn = drawn_on_a_terminal(columns, emulator, "load", "events", str(file))

    text = "\n".join(drawn)
    assert code == 0
    assert "31mred" in text
    assert re.search(r"delivered 50  [\d,]+/s  rejected 0", text)
    assert re.search(r"requests \d+  [\d,]+/s  throttled 0", text)
    assert "100%" in text
    assert max(map(len, drawn)) <= columns


@pytest.mark.parametrize("columns", [80, 120])
def test_progress_while_the_quota_is_waited_for(emulator, tmp_path, columns):
    emulator.inject(Fault("throttle", seconds=0.5, times=1))
    file = event_file(tmp_path / "e.jsonl", 50)
    code, drawn = drawn_on_a_terminal(columns, emulator, "load", "events", str(file))

    waiting = [line.rstrip() for line in drawn if "waiting" in line]
    form = re.compile(r"waiting: the quota is used up( until (\S+ )?\d\d:\d\d:\d\d, in 0:00:0\d)?")
    assert code == 0
    assert waiting
    assert [line for line in waiting if form.fullmatch(line) is None] == []
    assert "until" in waiting[0]
    assert max(map(len, drawn)) <= columns


def test_a_limit_of_ones_own(dfinery, emulator, tmp_path):
    (tmp_path / "e.jsonl").write_bytes(
        b"".join(event_line(number, identity={"external_id": f"u{number}"}) for number in range(12))
    )
    code, output, _ = dfinery("load", "events", tmp_path / "e.jsonl", "--limit-rate", "600/1m", "--json")

    assert (code, books(output)["delivered"]) == (0, 12)
    times = [request.at for request in emulator.requests]
    assert times[-1] - times[0] >= 1.0  # eleven tenths of a second, and a tenth may come early


@pytest.mark.parametrize("rate", ["600", "0/1m", "600/1x", "-1/1m", "1.5/1s", "600/0m", ""])
def test_a_limit_that_can_not_be_read(dfinery, emulator, tmp_path, rate):
    code, output, errors = dfinery("load", "events", event_file(tmp_path / "e.jsonl", 1), f"--limit-rate={rate}")

    assert (code, output) == (2, "")
    assert "--limit-rate: " in errors
    assert emulator.requests == []
