from __future__ import annotations

import json
import os
import subprocess

import pytest
from cli_kit import COMMAND, ROOT, event_file, event_line, start

NAMES = [
    "kind", "units", "users", "requests", "requests_least", "longest", "seconds", "unreadable", "quota", "limit_rate",
]  # fmt: skip


def planned(output):
    assert output.count("\n") == 1
    plan = json.loads(output)
    assert list(plan) == NAMES
    return plan


def test_nothing_is_sent_and_no_settings_are_needed(dfinery, tmp_path):
    code, output, errors = dfinery("plan", event_file(tmp_path / "e.jsonl", 3000), "--json")

    assert (code, errors) == (0, "")
    plan = planned(output)
    assert (plan["units"], plan["users"], plan["requests"], plan["requests_least"]) == (3000, 7, 35, 35)
    assert (plan["longest"], plan["unreadable"], plan["limit_rate"]) == (5, 0, None)
    assert plan["quota"] == {"calls": 1_000_000, "seconds": 60}
    assert plan["seconds"] == pytest.approx(34 * 60 / 1_000_000, abs=0.001)


def test_items_bound_a_request_as_well(dfinery, tmp_path):
    file = tmp_path / "e.jsonl"
    file.write_bytes(b"".join(event_line(7, event_items=[{"df_item_id": "1"}] * 60) for _ in range(10)))

    assert planned(dfinery("plan", file, "--json")[1])["requests"] == 10


def test_the_plan_is_what_a_load_needs_at_the_least(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 500)
    plan = planned(dfinery("plan", file, "--json")[1])
    assert emulator.requests == []
    dfinery("load", "events", file, "--json")

    assert plan["requests_least"] <= len(emulator.requests)
    assert plan["units"] == len(emulator.events)


@pytest.mark.parametrize("options", [[], ["--limit-rate", "1000000/1m"]])
def test_the_report_for_people(dfinery, tmp_path, options):
    code, output, _ = dfinery("plan", event_file(tmp_path / "e.jsonl", 200), *options)

    assert code == 0
    assert [line.split()[0] for line in output.splitlines()] == ["units", "requests", "longest", "seconds"]
    assert "events of 7 users" in output
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (["--quota", "events=6/1m"], 60.0),
        (["--quota", "profiles=6/1m", "--quota", "events=3/1H"], 7200.0),
        (["--limit-rate", "6/1m"], 60.0),
        (["--limit-rate", "12/1m", "--quota", "events=6/1m"], 60.0),
        (["--limit-rate", "1/1d"], 6 * 86400.0),
    ],
)
def test_quotas_and_limits_say_how_long_it_takes(dfinery, tmp_path, options, seconds):
    file = event_file(tmp_path / "e.jsonl", 7)

    assert planned(dfinery("plan", file, "--json", *options)[1])["seconds"] == pytest.approx(seconds)


def test_bad_lines_among_good_ones(dfinery, tmp_path):
    file = tmp_path / "e.jsonl"
    file.write_bytes(event_line(1) + b"x\n" * 12 + event_line(2))
    code, output, errors = dfinery("plan", file, "--json")

    plan = planned(output)
    assert (code, plan["units"], plan["unreadable"]) == (1, 2, 12)
    assert f"{file}:2: is not valid JSON at byte 1" in errors
    assert errors.count("e.jsonl:") == 10
    assert "2 more bad lines" in errors
    assert "unreadable          12" in dfinery("plan", file)[1]


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("p.csv", "profiles", "identity.external_id,user_properties.df_name\nu1,Kim\nu2,Lee\nu1,Park\n"),
        (
            "i.jsonl",
            "identities",
            '{"identity": {"external_id": "u1"}}\n{"identity": {"email": "a@example.com"}}\n' * 2,
        ),
    ],
)
def test_profiles_and_identities(dfinery, tmp_path, name, kind, text):
    (tmp_path / name).write_text(text)
    plan = planned(dfinery("plan", tmp_path / name, "--kind", kind, "--json")[1])

    assert (plan["kind"], plan["users"], plan["requests"]) == (kind, 2, 2)
    assert plan["quota"] == {"calls": 10_000, "seconds": 60}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no file is named"),
        (["no.jsonl"], "no such file"),
        (["e.jsonl", "--kind", "visits"], "Choose from"),
        (["e.jsonl", "--quota", "events"], "FAMILY=CALLS/PERIOD"),
        (["e.jsonl", "--quota", "events=0/1m"], "0 calls"),
        (["e.jsonl", "--limit-rate", "fast"], "--limit-rate: expected CALLS/PERIOD"),
        (["e.csv"], "has no header: its first line"),
        (["e.dat"], "ends in none of"),
    ],
)
def test_wrong_use(dfinery, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    event_file(tmp_path / "e.jsonl", 2)
    (tmp_path / "e.csv").write_text("u1,df_login\n")
    (tmp_path / "e.dat").write_text("")
    code, output, errors = dfinery("plan", *arguments, "--json")

    assert (code, json.loads(output)["exit"]) == (2, 2)
    assert message in errors


def test_standard_input_of_a_process_of_its_own():
    process = start("plan", "-", "--json")
    output, errors = process.communicate((event_line(1) + event_line(2)).decode())

    assert (process.returncode, errors) == (0, "")
    assert planned(output)["units"] == 2


def test_a_pipe_that_does_not_pause_needs_as_many_requests_as_planned(dfinery, emulator, tmp_path):
    file = event_file(tmp_path / "e.jsonl", 350)
    ours, theirs = os.pipe()
    os.write(theirs, file.read_bytes())
    os.close(theirs)
    done = subprocess.run(
        [*COMMAND, "load", "events", "-", "--json"],
        env={"PYTHONPATH": str(ROOT), **emulator.environment}, stdin=ours, capture_output=True, check=True,
    )  # fmt: skip
    os.close(ours)

    assert json.loads(done.stdout)["requests"] == planned(dfinery("plan", file, "--json")[1])["requests"] == 7


def test_what_comes_out_of_a_pipe_is_sent_when_it_pauses(emulator):
    with start("load", "events", "-", "--json", env=emulator.environment) as process:
        process.stdin.write(event_line(1).decode())
        process.stdin.flush()
        while not emulator.events:
            os.sched_yield()
        output, _ = process.communicate(event_line(1).decode())

    assert (process.returncode, json.loads(output)["requests"]) == (0, 2)
