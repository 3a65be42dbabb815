from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from cli_kit import event_file, event_line, start

from dfinery_async.cli import load_command
from dfinery_async.core.spool_figures import Figures, line_of
from dfinery_async.emulator import Emulator, Fault
from dfinery_async.runtime.spool.slots import claim

AGAIN = 4 * 64
"""Events that a kill makes come twice at the most: of 64 requests in the air, and of those just answered."""


def ids(emulator: Emulator) -> Counter[str]:
    return Counter(event["event_log_id"] for event in emulator.events)


def many(path: Path, count: int, users: int = 1_000_000) -> Path:
    """A file whose events are of so many users that each needs a request of its own."""
    path.write_bytes(
        b"".join(
            event_line(n, identity={"external_id": f"u{n % users}"}, event_properties={"n": n}) for n in range(count)
        )
    )
    return path


def in_order(emulator: Emulator) -> bool:
    """Whether the first delivery of each user's events has their order."""
    seen: dict[str, int] = {}
    first: set[str] = set()
    for event in emulator.events:
        if event["event_log_id"] in first:
            continue
        first.add(event["event_log_id"])
        user, number = event["identity"]["external_id"], event["event_properties"]["n"]
        if number < seen.get(user, -1):
            return False
        seen[user] = number
    return True


def cut_after(emulator: Emulator, count: int, *arguments: object, by: int = signal.SIGKILL) -> str:
    """Start a load and kill it when the API has seen so many events."""
    with start(*map(str, arguments), env=emulator.environment) as child:
        while len(emulator.events) < count:
            assert child.poll() is None, child.communicate()[1]
            os.sched_yield()
        child.send_signal(by)
        output: str = child.communicate()[0]
        return output


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_load_that_was_killed_goes_on_where_it_stopped(dfinery, emulator, tmp_path, form):
    file = many(tmp_path / "e.jsonl", 1200, users=800)
    if form == "csv":
        rows = [json.loads(line) for line in file.read_bytes().splitlines()]
        file = tmp_path / "e.csv"
        file.write_text(
            "identity.external_id,event_name,event_datetime,event_properties.n\n"
            + "".join(
                f"{row['identity']['external_id']},df_login,{row['event_datetime']},{row['event_properties']['n']}\n"
                for row in rows
            )
        )
    spool = tmp_path / "spool"
    cut_after(emulator, 200, "load", "events", file, "--spool", spool)
    assert 200 <= len(emulator.events) < 1200

    code, output, errors = dfinery("load", "events", file, "--spool", spool, "--resume", "--json")
    assert (code, errors) == (0, "")
    report = json.loads(output)
    assert report["accepted"] == report["delivered"]
    found = ids(emulator)
    assert len(found) == 1200
    assert found.total() - 1200 <= AGAIN
    if form == "jsonl":
        assert in_order(emulator)

    code, output, errors = dfinery("load", "events", file, "--spool", spool, "--resume", "--json")
    assert (code, errors, json.loads(output)["accepted"]) == (0, "", 0)
    with file.open("ab") as more:
        more.write(event_line(4001) if form == "jsonl" else b"u9,df_login,2025-03-02T04:11:09.120Z,4001\n")
    code, output, errors = dfinery("load", "events", file, "--spool", spool, "--resume", "--json")
    assert (code, errors, json.loads(output)["delivered"]) == (0, "", 1)


def test_a_load_is_cut_again_and_again(dfinery, emulator, tmp_path):
    file = many(tmp_path / "e.jsonl", 1500)
    spool = tmp_path / "spool"
    for count in (200, 500, 800):
        cut_after(emulator, count, "load", "events", file, "--spool", spool, "--resume")
    code, _, errors = dfinery("load", "events", file, "--spool", spool, "--resume")
    assert (code, errors) == (0, "")
    found = ids(emulator)
    assert len(found) == 1500
    assert found.total() - 1500 <= 3 * AGAIN


def test_ctrl_c_twice_keeps_the_rest_on_disk(dfinery, emulator, tmp_path):
    file = many(tmp_path / "e.jsonl", 3000)
    spool = tmp_path / "spool"
    emulator.inject(Fault("latency", seconds=0.05))
    with start("load", "events", str(file), "--spool", str(spool), "--json", env=emulator.environment) as child:
        while len(emulator.events) < 200:
            os.sched_yield()
        child.send_signal(signal.SIGINT)
        assert child.stderr is not None
        assert "press Ctrl-C again" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        output = child.communicate()[0]
        assert child.returncode == 130
    report = json.loads(output)
    assert report["spooled"] > 100
    assert report["accepted"] == report["delivered"] + report["spooled"]

    code, output, _ = dfinery("spool", "status", spool, "--json")
    assert code == 0
    assert json.loads(output)["units"] == report["spooled"]
    emulator.reset()
    code, output, errors = dfinery("spool", "replay", spool, "--json")
    assert (code, errors) == (0, "")
    assert json.loads(output)["delivered"] == report["spooled"]
    code, output, errors = dfinery("load", "events", file, "--spool", spool, "--resume", "--json")
    assert (code, errors) == (0, "")
    assert json.loads(output)["delivered"] == 3000 - report["accepted"]


def test_a_spool_is_shown_sent_and_thrown_away(dfinery, emulator, tmp_path, monkeypatch):
    monkeypatch.setattr(load_command, "GIVE_UP_AFTER", 1.0)
    file = event_file(tmp_path / "e.jsonl", 30)
    spool = tmp_path / "spool"
    with Emulator() as gone:
        base_url = gone.base_url
    code, output, errors = dfinery("load", "events", file, "--spool", spool, "--json", "--base-url", base_url)
    assert code == 4
    assert json.loads(output)["spooled"] == 30
    assert "no answer from the API" in errors

    code, output, errors = dfinery("spool", "status", spool)
    assert (code, errors) == (0, "")
    assert output.splitlines()[0].split() == ["waiting", "30", "units", "in", "1", "slots"]
    assert "30 events" in output
    code, _, errors = dfinery("spool", "replay", spool)
    assert code == 1
    assert "another service id or address" in errors
    code, _, errors = dfinery("spool", "drop", spool)
    assert code == 2
    assert "30 units would be thrown away; --yes" in errors
    code, output, errors = dfinery("spool", "drop", spool, "--yes", "--json")
    assert (code, json.loads(output), errors) == (0, {"dropped": 30, "left": []}, "")
    assert json.loads(dfinery("spool", "status", spool, "--json")[1])["units"] == 0
    code, output, errors = dfinery("spool", "replay", spool, "--json")
    assert (code, errors, json.loads(output)["accepted"]) == (0, "", 0)


def test_profiles_and_identities_are_resumed_too(dfinery, emulator, tmp_path):
    profiles = tmp_path / "p.jsonl"
    profiles.write_bytes(
        b"".join(
            json.dumps({"identity": {"external_id": f"u{n}"}, "user_properties": {"df_name": f"n{n}"}}).encode() + b"\n"
            for n in range(50)
        )
    )
    spool = tmp_path / "spool"
    code, output, errors = dfinery("load", "profiles", profiles, "--spool", spool, "--json")
    assert (code, errors, json.loads(output)["delivered"]) == (0, "", 50)
    code, output, errors = dfinery("load", "profiles", profiles, "--spool", spool, "--resume", "--json")
    assert (code, errors, json.loads(output)["accepted"]) == (0, "", 0)
    identities = tmp_path / "i.jsonl"
    identities.write_bytes(b"".join(b'{"identity": {"external_id": "u%d"}}\n' % n for n in range(20)))
    code, output, errors = dfinery("load", "identities", identities, "--spool", spool, "--json")
    assert (code, errors, json.loads(output)["delivered"]) == (0, "", 20)


def test_bad_lines_are_told_once_and_rejects_are_kept_over_a_resume(dfinery, emulator, tmp_path):
    file = many(tmp_path / "e.jsonl", 50)
    content = file.read_bytes().splitlines(keepends=True)
    content[10] = b"not JSON\n"
    file.write_bytes(b"".join(content))
    spool, rejects = tmp_path / "spool", tmp_path / "rejects.jsonl"
    code, output, _ = dfinery("load", "events", file, "--spool", spool, "--rejects", rejects, "--json")
    assert (code, json.loads(output)["unreadable"]) == (1, 1)
    code, output, errors = dfinery("load", "events", file, "--spool", spool, "--rejects", rejects, "--resume", "--json")
    assert (code, errors, json.loads(output)["unreadable"]) == (0, "", 0)
    assert len(rejects.read_bytes().splitlines()) == 1


def test_without_resume_a_load_begins_from_the_start_and_says_so(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 30)
    spool = tmp_path / "spool"
    dfinery("load", "events", file, "--spool", spool)
    code, output, errors = dfinery("load", "events", file, "--spool", spool, "--json")
    assert (code, json.loads(output)["delivered"]) == (0, 30)
    assert "took over its first 30 lines, which are sent again" in errors


def test_another_file_under_the_same_name_is_not_resumed(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 30)
    spool = tmp_path / "spool"
    dfinery("load", "events", file, "--spool", spool)
    event_file(file, 20)
    code, _, errors = dfinery("load", "events", file, "--spool", spool, "--resume")
    assert code == 2
    assert "its beginning has changed" in errors


def test_wrong_use_is_named(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 3)
    code, _, errors = dfinery("load", "events", file, "--resume")
    assert (code, "--resume needs --spool" in errors) == (2, True)
    code, _, errors = dfinery("spool", "status", tmp_path / "nowhere")
    assert (code, "there is no folder" in errors) == (2, True)
    code, _, errors = dfinery("spool", "drop", tmp_path / "nowhere", "--yes")
    assert code == 2
    with start("load", "events", "-", "--spool", str(tmp_path / "s"), "--resume", env=emulator.environment) as child:
        _, errors = child.communicate("")
        assert (child.returncode, "--resume needs a file" in errors) == (2, True)


def test_a_folder_that_can_not_be_a_spool_is_wrong_use(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 3)
    for path, message in ((file, "and .* is none"), ("/proc/x", "can't be made"), ("/proc", "can't be made")):
        code, output, errors = dfinery("load", "events", file, "--spool", path, "--json")
        assert (code, json.loads(output)["exit"]) == (2, 2)
        assert re.search(message, errors)
    assert emulator.requests == []


def test_a_spool_in_use_is_named_and_left_alone(dfinery, emulator, tmp_path):
    spool = tmp_path / "spool"
    with start("load", "events", "-", "--spool", str(spool), env=emulator.environment) as child:
        assert child.stdin is not None
        child.stdin.write(event_line(1).decode())
        child.stdin.flush()
        while not emulator.events:
            os.sched_yield()
        code, output, errors = dfinery("spool", "status", spool)
        assert (code, errors) == (0, "")
        assert f"in use by process {child.pid}, as of " in output
        assert output.split()[:2] == ["waiting", "0"]
        file = event_file(tmp_path / "e.jsonl", 3)
        code, output, errors = dfinery("load", "events", file, "--spool", spool, "--json")
        assert (code, json.loads(output)["exit"]) == (1, 1)
        assert f"in use by process {child.pid}" in errors
        code, _, errors = dfinery("spool", "drop", spool, "--yes")
        assert (code, "stop that first" in errors) == (1, True)
        code, output, errors = dfinery("spool", "replay", spool, "--json")
        assert (code, f"in use by process {child.pid}" in errors) == (1, True)
        assert json.loads(output)["accepted"] == 0
        assert [each.name for each in spool.iterdir()] == ["slot-000"]
        child.communicate()
        assert child.returncode == 0


def test_what_waits_in_a_running_process_is_told_and_not_what_a_dead_one_said(dfinery, emulator, tmp_path):
    spool = tmp_path / "spool"
    emulator.inject(Fault("hang"))
    file = event_file(tmp_path / "e.jsonl", 30)
    with start("load", "events", str(file), "--spool", str(spool), env=emulator.environment) as child:
        deadline = time.monotonic() + 20
        while (told := json.loads(dfinery("spool", "status", spool, "--json")[1])).get("units") != 30:
            assert time.monotonic() < deadline, told
            os.sched_yield()
        (slot,) = told["slots"]
        assert (slot["owner"], slot["problem"], slot["events"]) == (child.pid, "in use", None)
        age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(slot["as_of"])
        assert dt.timedelta(0) <= age < dt.timedelta(seconds=20)
        assert slot["oldest"] <= slot["as_of"]
        code, output, errors = dfinery("spool", "status", spool)
        assert (code, errors) == (0, "")
        assert output.split()[:6] == ["waiting", "30", "units", "in", "1", "slots"]
        assert re.search(
            rf"in use by process {child.pid}, as of [0-9]+ s ago; the oldest has waited for [0-9]+ s; [0-9,]+ bytes",
            output,
        )
        code, output, _ = dfinery("spool", "drop", spool, "--yes", "--json")
        assert (code, json.loads(output)) == (1, {"dropped": 0, "left": ["slot-000"]})
        child.kill()
        child.communicate()

    lock = spool / "slot-000" / "lock"
    assert b'"units":30' in lock.read_bytes()
    lock.write_bytes(line_of(Figures(units=7, oldest=None, moment=0.0)))
    (slot,) = json.loads(dfinery("spool", "status", spool, "--json")[1])["slots"]
    assert (slot["units"], slot["events"], slot["owner"], slot["as_of"]) == (30, 30, None, None)
    assert lock.read_bytes() == b""


def test_an_owner_that_tells_nothing_is_unknown(dfinery, tmp_path):
    slot = claim(tmp_path / "spool")
    try:
        for more in (b"", b"\n", b"00000000 {}\n", b'00000000 {"units":7,"oldest":null,"moment":0.0}\n'):
            with (slot.folder / "lock").open("ab") as lock:
                lock.write(more)
            code, output, errors = dfinery("spool", "status", tmp_path / "spool")
            assert (code, errors) == (0, "")
            assert output.split()[:2] == ["waiting", "unknown"]
            assert f"in use by process {os.getpid()}, which has not told yet how much waits" in output
            assert json.loads(dfinery("spool", "status", tmp_path / "spool", "--json")[1])["units"] is None
    finally:
        slot.release()
