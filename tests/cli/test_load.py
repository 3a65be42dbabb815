"""Loads of files: what arrives, what is reported, and how each ends."""

from __future__ import annotations

import json
import socket

import pytest
from cli_kit import books, event_file, event_line

from dfinery_async.cli import load_command
from dfinery_async.emulator import Emulator, Fault


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
