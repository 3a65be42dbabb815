from __future__ import annotations

import csv
import io
import json
import resource
import socket
import stat
import subprocess

import pytest
from cli_kit import COMMAND, ROOT

from dfinery_async.cli import export_command, hindrance
from dfinery_async.emulator import Emulator, Fault

DAYS = ("--from", "2025-03-01", "--to", "2025-03-02")


@pytest.fixture
def emulator(monkeypatch, tmp_path, dfinery):
    with Emulator(export_days=None) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        file = tmp_path / "in.csv"
        header = "identity.external_id,event_name,event_datetime,event_properties.df_total_purchase_amount\n"
        for text in (  # one after the other, since no order is promised between users
            "u1,df_purchase,2025-03-01T01:00:00Z,12.50\nu1,df_login,2025-03-01T02:00:00Z,\n",
            'u2,"df_purchase",2025-03-02T01:00:00Z,0\n',
        ):
            file.write_text(header + text)
            assert dfinery("load", "events", file)[0] == 0
        yield emulator


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_on_standard_output(dfinery, emulator):
    code, output, errors = dfinery("export", "events", *DAYS)

    assert code == 0
    assert [row["df_event_name"] for row in rows(output)] == ["df_purchase", "df_login", "df_purchase"]
    assert errors.startswith("3 rows, ")


def test_json_lines_on_standard_output(dfinery, emulator):
    code, output, _ = dfinery("export", "events", *DAYS, "--format", "jsonl", "--event", "df_purchase")

    assert code == 0
    assert [json.loads(line)["df_total_purchase_amount"] for line in output.splitlines()] == [12.5, 0.0]


def test_a_file_with_a_report(dfinery, emulator, tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("old")
    code, output, errors = dfinery(
        "export", "events", *DAYS, "-o", target, "--json",
        "--exclude-event", "df_login", "--property", "df_total_purchase_amount", "--property", "df_order_id",
    )  # fmt: skip

    report = json.loads(output)
    assert (code, errors) == (0, "")
    assert (report["path"], report["rows"]) == (str(target), 2)
    assert report["bytes"] == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    found = rows(target.read_text())
    assert [row["df_total_purchase_amount"] for row in found] == ["12.5", "0.0"]
    assert {"df_total_purchase_amount", "df_order_id"} <= set(found[0])
    assert "df_keyword" not in found[0]


def test_profiles(dfinery, emulator, tmp_path):
    code, _, errors = dfinery("export", "profiles", "-o", tmp_path / "p.jsonl", "--external-id")

    assert code == 0
    assert errors.startswith("2 rows, ")
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    assert {json.loads(line)["df_external_id"] for line in lines} == {"u1", "u2"}
    assert dfinery("export", "profiles", "--audience", "nobody")[2].startswith("0 rows")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["events", "--from", "2025-03-01"], "--to"),
        (["events", "--from", "2025-03-02", "--to", "2025-03-01"], "--to: lies before --from"),
        (["events", "--from", "1 March", "--to", "2025-03-01"], "--from: must be a date"),
        (["events", *DAYS, "--json"], "-o"),
        (["events", *DAYS, "--format", "jsonl", "-o", "x.csv"], "--format is for standard output"),
        (["events", *DAYS, "--event", "a", "--exclude-event", "b"], "--exclude-event: give either this or --event"),
        (["events", *DAYS, "-o", "x.xlsx"], ".csv"),
        (["events", *DAYS, "-o", "missing/x.csv"], "can't be written"),
        (["profiles", "-o", "link.csv"], "symbolic link"),
        (["profiles", "-o", "directory.csv"], "directory"),
    ],
)
def test_wrong_use(dfinery, emulator, tmp_path, monkeypatch, arguments, message):  # noqa: PLR0917
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    (tmp_path / "directory.csv").mkdir()
    before = sorted(tmp_path.iterdir())
    code, output, errors = dfinery("export", *arguments)

    assert (code, output) == (2, "" if "--json" not in arguments else output)
    assert message in errors
    assert sorted(tmp_path.iterdir()) == before


def test_missing_and_refused_tokens(dfinery, emulator, monkeypatch, tmp_path):
    monkeypatch.setenv("DFINERY_EXPORT_TOKEN", "wrong")
    assert dfinery("export", "profiles")[0] == 3
    monkeypatch.delenv("DFINERY_EXPORT_TOKEN")
    code, _, errors = dfinery("export", "profiles")
    assert code == 2
    assert "--export-token-file" in errors
    token = tmp_path / "token"
    token.write_text(emulator.export_token)
    token.chmod(0o600)
    assert dfinery("export", "profiles", "--export-token-file", token)[0] == 0


def test_a_start_too_far_back(dfinery, monkeypatch):
    with Emulator() as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        code, output, errors = dfinery("export", "events", *DAYS)

    assert (code, output) == (1, "")
    assert "30 days" in errors


def test_nothing_is_left_of_an_export_that_breaks_off(dfinery, emulator, tmp_path):
    emulator.inject(Fault("code", family="exports", code=50000, message="query_error"))
    target = tmp_path / "out" / "events.csv"
    target.parent.mkdir()
    code, output, _ = dfinery("export", "events", *DAYS, "-o", target)

    assert (code, output) == (1, "")
    assert list(target.parent.iterdir()) == []


def test_unreachable(dfinery, emulator, monkeypatch):
    with socket.socket() as listener:  # bound, but it does not listen: connections are refused
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DFINERY_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        code, output, errors = dfinery("export", "profiles")

    assert (code, output) == (4, "")
    assert "could not connect" in errors


def test_a_web_page_is_unreachable_as_a_redirect_is(dfinery, emulator):
    for fault in (Fault("html"), Fault("redirect")):
        handle = emulator.inject(fault)
        assert dfinery("export", "profiles")[0] == 4
        handle.remove()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("latency", seconds=0.5), "still waiting for the API"),
        (Fault("throttle", seconds=0.5, times=1), "the quota is used up until "),
    ],
)
def test_a_wait_is_told(dfinery, emulator, monkeypatch, fault, why):
    monkeypatch.setattr(export_command, "_LOOK", 0.01)
    monkeypatch.setattr(hindrance, "_TELL_AFTER", 0.1)
    emulator.inject(fault)
    code, _, errors = dfinery("export", "profiles")

    assert code == 0
    assert f"nothing has come for 0 s: {why}" in errors
    assert errors.count("nothing has come") == 1


def test_a_full_disk_is_no_wrong_use(dfinery, emulator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        code, _, errors = dfinery("export", "profiles", "-o", "p.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert (code, errors) == (1, "dfinery: p.csv can't be written: file too large\n")
    assert list(tmp_path.glob("p.csv*")) == []


def test_typed_columns_as_parquet(dfinery, emulator, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "out.parquet"
    code, _, errors = dfinery("export", "events", *DAYS, "-o", target, "--zone", "UTC", "--event", "df_purchase")

    table = pq.read_table(target)
    assert code == 0
    assert errors.startswith("2 rows, ")
    assert table["df_total_purchase_amount"].to_pylist() == [12.5, 0.0]
    assert str(table.schema.field("df_event_datetime").type) == "timestamp[us, tz=+00:00]"


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_forms_on_standard_output(emulator, form):
    done = subprocess.run(
        [*COMMAND, "export", "events", *DAYS, "--format", form],
        env={"PYTHONPATH": str(ROOT), **emulator.environment},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout[:4] == (b"PAR1" if form == "parquet" else b'{"df')


def test_a_taxonomy_types_columns_of_ones_own(dfinery, emulator, tmp_path):
    (tmp_path / "in.csv").write_text(
        "identity.external_id,event_name,event_datetime,event_properties.visits\nu1,e,2025-03-01T01:00:00Z,12\n"
    )
    dfinery("load", "events", tmp_path / "in.csv")
    taxonomy = {"event_properties": [{"name": "visits", "type": "Long"}]}
    (tmp_path / "t.json").write_text(json.dumps(taxonomy))
    for options, value in (((), "12"), (("--taxonomy", tmp_path / "t.json"), 12)):
        code, output, _ = dfinery("export", "events", *DAYS, "--event", "e", "--format", "jsonl", *options)
        assert code == 0
        assert json.loads(output)["visits"] == value


def test_cells_that_a_spreadsheet_would_run(dfinery, emulator, tmp_path):
    (tmp_path / "in.csv").write_text(
        "identity.external_id,event_name,event_datetime,event_properties.note\nu1,e,2025-03-01T01:00:00Z,=1+1\n"
    )
    dfinery("load", "events", tmp_path / "in.csv")
    for options, cell in (((), "=1+1"), (("--spreadsheet-safe",), "'=1+1")):
        _, output, _ = dfinery("export", "events", *DAYS, "--event", "e", *options)
        assert rows(output)[0]["note"] == cell


def test_only_missing_days_are_fetched(dfinery, emulator, tmp_path):
    target = tmp_path / "out.csv"
    days = ("--from", "2025-02-27", "--to", "2025-03-02")
    emulator.inject(Fault("code", family="exports", code=50000, message="query_error", after=2, times=1))
    code, *_ = dfinery("export", "events", *days, "-o", target, "--resume")
    kept = sorted(path.name for path in (tmp_path / "out.csv.parts").iterdir())
    before = len(emulator.requests)
    assert (code, target.exists()) == (1, False)
    assert 1 < len(kept) < 4  # those that were under way, too: their calls are paid for

    code, _, errors = dfinery("export", "events", *days, "-o", target, "--resume")
    assert code == 0
    assert errors.startswith("3 rows, ")
    assert len(emulator.requests) - before == 4 - len(kept)
    assert not (tmp_path / "out.csv.parts").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["events", *DAYS, "--resume"], "--resume needs a file"),
        (["events", *DAYS, "-o", "x.jsonl", "--spreadsheet-safe"], "only CSV"),
        (["events", *DAYS, "--zone", "Nowhere"], "no time zone 'Nowhere'"),
        (["events", *DAYS, "--taxonomy", "nowhere.json"], "the taxonomy can't be read"),
        (["events", *DAYS, "--days-per-call", "31"], "--days-per-call: must be"),
        (["events", *DAYS, "-o", "x.parquet.gz"], "must end in one of"),
    ],
)
def test_options_that_will_not_do(dfinery, emulator, tmp_path, monkeypatch, arguments, message):  # noqa: PLR0917
    monkeypatch.chdir(tmp_path)
    before = len(emulator.requests)
    code, output, errors = dfinery("export", *arguments)

    assert (code, output) == (2, "")
    assert message in errors
    assert len(emulator.requests) == before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(dfinery, shell):
    code, output, errors = dfinery("completion", shell)

    assert (code, errors) == (0, "")
    assert "dfinery" in output
    assert "spreadsheet-safe" in output
