"""Files that are not in our shape, packed ones, and Parquet."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import subprocess

import pytest
from cli_kit import COMMAND, ROOT, event_file, event_line

from dfinery_async.runtime.compression import compressor

PURCHASES = (
    b" customer_id  date number_of_cds  dollar_value\r\n 00001 19970101  1   11.77\r\n 00002 19970112  5    0.00\r\n"
)
MAPPING = """
zone = "Asia/Seoul"
separator = "whitespace"
[columns]
customer_id = "identity.external_id"
date = "event_datetime"
number_of_cds = "event_items.df_quantity"
dollar_value = "event_properties.df_total_purchase_amount"
[constants]
event_name = "df_purchase"
"event_items.df_item_id" = "cd"
"""


def packed(data, packing):
    packer = compressor(packing)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("how", ["options", "file", "both"])
def test_the_real_purchases_as_they_are(dfinery, emulator, tmp_path, how):
    (tmp_path / "p.txt.gz").write_bytes(gzip.compress(PURCHASES))
    (tmp_path / "p.toml").write_text(MAPPING if how == "file" else "event_name = 1\n" if how == "bad" else "")
    options = ["--mapping", tmp_path / "p.toml"] if how != "options" else []
    if how != "file":
        options += [
            "--separator", "whitespace", "--zone", "+09:00",
            "--map", "customer_id=identity.external_id", "--map", "date=event_datetime",
            "--map", "number_of_cds=event_items.df_quantity",
            "--map", "dollar_value=event_properties.df_total_purchase_amount",
            "--set", "event_name=df_purchase", "--set", "event_items.df_item_id=cd",
        ]  # fmt: skip
    code, _, errors = dfinery("load", "events", tmp_path / "p.txt.gz", *options)

    assert (code, errors) == (0, "")
    by_user = {event["identity"]["external_id"]: event for event in emulator.events}
    assert by_user["00001"]["event_datetime"] == "1996-12-31T15:00:00.000Z"
    assert by_user["00001"]["event_items"] == [{"df_item_id": "cd", "df_quantity": 1}]
    assert by_user["00002"]["event_properties"] == {"df_total_purchase_amount": 0.0}
    assert by_user["00002"]["event_items"] == [{"df_item_id": "cd", "df_quantity": 5}]


def test_columns_that_nothing_is_said_of_are_left_out_and_named(dfinery, emulator, tmp_path):
    (tmp_path / "p.csv").write_text("who;when;what;secret\nu1;2.3.2025 04:11;x;y\n")
    code, _, errors = dfinery(
        "load", "events", tmp_path / "p.csv", "--separator", ";", "--map", "who=identity.external_id", "--map",
        "when=event_datetime", "--datetime-format", "%d.%m.%Y %H:%M", "--zone", "UTC", "--set", "event_name=df_login",
        "--map", "what=event_properties.note",
    )  # fmt: skip

    assert code == 0
    assert errors.endswith("p.csv: columns left out: secret\n")
    (event,) = emulator.events
    assert (event["event_datetime"], event["event_properties"]) == ("2025-03-02T04:11:00.000Z", {"note": "x"})


def test_a_text_without_a_header(dfinery, emulator, tmp_path):
    (tmp_path / "p.csv").write_text("u1|2025-03-02T04:11:09Z|df_login\n")
    code, *_ = dfinery(
        "load", "events", tmp_path / "p.csv", "--separator", "pipe", "--header",
        "identity.external_id,event_datetime,event_name",
    )  # fmt: skip

    assert code == 0
    assert len(emulator.events) == 1


def test_json_with_other_keys(dfinery, emulator, tmp_path):
    lines = [{"id": 7, "at": "2025-03-02", "event_name": "df_login", "more": {"a": 1}, "n": 2}, {"id": "x", "at": "?"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, _, errors = dfinery(
        "load", "events", tmp_path / "p.jsonl", "--map", "id=identity.external_id", "--map", "at=event_datetime",
        "--map", "n=event_properties.n", "--zone", "UTC",
    )  # fmt: skip

    assert code == 1
    assert "p.jsonl:2: at: is no datetime" in errors
    (event,) = emulator.events
    assert event["identity"] == {"external_id": "7"}
    assert event["event_properties"] == {"n": 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--map", "who"], "--map takes COLUMN=FIELD"),
        (["--map", "x=identity.external_id"], "names the column 'x', which is not there"),
        (["--map", "who=identity.id"], "unknown column 'identity.id'"),
        (["--map", "who=identity.email", "--map", "when=identity.email"], "fills identity.email twice"),
        (["--map", "who=identity.email", "--set", "event_name="], "--set takes FIELD=VALUE"),
        (["--map", "who=identity.email"], "the column event_name is missing"),
        (["--set", "event_nam=x"], "did you mean event_name"),
        (["--set", "event_properties.df_discount=x"], "df_discount: must be a number"),
        (["--zone", "Mars/Olympus"], "no time zone 'Mars/Olympus'"),
        (["--separator", "ab"], "separator must be one character"),
        (["--mapping", "nowhere.toml"], "the mapping can't be read: no such file"),
        (["--mapping", "bad.toml"], "line 1, column"),
        (["--mapping", "bad.json"], "a mapping is an object"),
        (["--mapping", "slip.toml"], "unknown key 'colums'; did you mean columns?"),
    ],
)
def test_mappings_that_will_not_do(dfinery, emulator, tmp_path, monkeypatch, options, message):  # noqa: PLR0917
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("who,when\nu1,2025-03-02\n")
    (tmp_path / "bad.toml").write_text("= 1")
    (tmp_path / "bad.json").write_text("[]")
    (tmp_path / "slip.toml").write_text("[colums]\n")
    code, output, errors = dfinery("load", "events", "p.csv", *options)

    assert (code, output) == (2, "")
    assert message in errors
    assert emulator.requests == []


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_packed_files(dfinery, emulator, tmp_path, packing, ending):
    plain = event_file(tmp_path / "plain.jsonl", 500).read_bytes()
    if ending == "csv":
        plain = b"identity.external_id,event_name,event_datetime\n" + b"u1,df_login,2025-03-02T04:11:09Z\n" * 500
    (tmp_path / f"e.{ending}.{packing}").write_bytes(packed(plain[:9000], packing) + packed(plain[9000:], packing))
    code, _, errors = dfinery("load", "events", tmp_path / f"e.{ending}.{packing}")

    assert (code, errors) == (0, "")
    assert len(emulator.events) == 500


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_packed_files_that_are_cut_or_broken(dfinery, emulator, tmp_path, packing):
    data = packed(event_file(tmp_path / "plain.jsonl", 500).read_bytes(), packing)
    (tmp_path / "cut.jsonl").write_bytes(data[:-5])
    (tmp_path / "broken.jsonl").write_bytes(data[:100] + b"\0" * 100 + data[200:])
    code, _, errors = dfinery("load", "events", tmp_path / "cut.jsonl")
    assert code == 2
    assert "is cut" in errors
    code, _, errors = dfinery("load", "events", tmp_path / "broken.jsonl")
    assert code == 2
    assert "is broken" in errors


def test_packed_standard_input(emulator):
    data = packed(b"".join(event_line(number) for number in range(100)), "gz")
    environment = {"PYTHONPATH": str(ROOT), **emulator.environment}
    done = subprocess.run(
        [*COMMAND, "load", "events", "-", "--json"], env=environment, input=data, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["delivered"] == 100


class TestParquet:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    def write(self, path, rows, **options):
        self.pq.write_table(self.pa.Table.from_pylist(rows), path, **options)
        return path

    def test_nested_columns_in_our_shape(self, dfinery, emulator, tmp_path):
        rows = [
            {
                "identity": {"external_id": f"u{number}", "email": None},
                "event_name": "df_purchase",
                "event_datetime": f"2025-03-02T04:11:{number:02}.120Z",
                "event_properties": {"df_order_id": f"{number:08}", "n": number or None},
                "event_items": [{"df_item_id": "1", "df_price": 1.5}] if number else None,
            }
            for number in range(3)
        ]
        code, _, errors = dfinery("load", "events", self.write(tmp_path / "e.parquet", rows))

        assert (code, errors) == (0, "")
        by_user = {event["identity"]["external_id"]: event for event in emulator.events}
        assert by_user["u0"]["event_properties"] == {"df_order_id": "00000000"}
        assert by_user["u0"]["event_items"] is None
        assert by_user["u2"]["event_properties"] == {"df_order_id": "00000002", "n": 2}
        assert by_user["u2"]["event_items"] == [{"df_item_id": "1", "df_price": 1.5}]

    @pytest.mark.parametrize("how", ["file", "pipe", "redirected"])
    def test_a_table_with_other_names(self, emulator, tmp_path, how):
        rows = [
            {
                "customer": number,
                "at": dt.datetime.fromisoformat("2025-03-02T04:11:00"),
                "paid": 1.5,
                "day": dt.date(2025, 3, 2),
            }
            for number in range(20_000)
        ]
        file = self.write(tmp_path / "e.parquet", rows)
        options = [
            "--json", "--map", "customer=identity.external_id", "--map", "at=event_datetime", "--zone", "Asia/Seoul",
            "--map", "paid=event_properties.df_total_purchase_amount", "--map", "day=event_properties.day",
            "--set", "event_name=df_purchase",
        ]  # fmt: skip
        source = [str(file)] if how == "file" else ["-", "--format", "parquet"]
        environment = {"PYTHONPATH": str(ROOT), **emulator.environment}
        with file.open("rb") as content:
            done = subprocess.run(
                [*COMMAND, "plan", *source, *options],
                env=environment,
                stdin=content if how == "redirected" else None,
                input=content.read() if how == "pipe" else None,
                capture_output=True,
                check=False,
            )
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout)["users"] == 20_000

    def test_bad_rows_are_named(self, dfinery, emulator, tmp_path):
        rows = [{"who": "u1", "at": "2025-03-02T00:00:00Z", "x": 1.0}, {"who": "u2", "at": "?", "x": float("nan")}]
        rows += [{"who": "u3", "at": "2025-03-02T00:00:00Z", "x": float("nan")}]
        code, _, errors = dfinery(
            "load", "events", self.write(tmp_path / "e.parquet", rows), "--rejects", tmp_path / "r.jsonl",
            "--map", "who=identity.external_id", "--map", "at=event_datetime", "--map", "x=event_properties.x",
            "--set", "event_name=df_login",
        )  # fmt: skip

        assert code == 1
        assert "e.parquet:2: event_datetime: must be a datetime" in errors
        assert "e.parquet:3: event_properties.x" in errors
        assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 2

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", b"hello"])
    def test_what_is_no_parquet(self, dfinery, emulator, tmp_path, content):
        (tmp_path / "e.parquet").write_bytes(content)
        code, output, errors = dfinery("load", "events", tmp_path / "e.parquet")
        assert (code, output) == (2, "")
        assert "e.parquet: is no Parquet that can be read" in errors

    def test_a_file_that_breaks_off_in_the_middle(self, dfinery, emulator, tmp_path):
        rows = [
            {"identity.external_id": "u", "event_name": f"{n:05}", "event_datetime": "2025-03-02T00:00:00Z"}
            for n in range(50_000)
        ]
        file = self.write(tmp_path / "e.parquet", rows, row_group_size=10_000, compression="zstd")
        data = bytearray(file.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 2000] = b"\0" * 2000
        file.write_bytes(data)
        code, _, errors = dfinery("plan", file)
        assert code == 2
        assert "can't be read" in errors

    def test_without_pyarrow_the_error_names_the_extra(self, dfinery, emulator, tmp_path, monkeypatch):
        def missing(name):
            raise ImportError(name)

        monkeypatch.setattr("dfinery_async.runtime.export_tables.import_module", missing)
        code, _, errors = dfinery("load", "events", self.write(tmp_path / "e.parquet", [{"a": 1}]))
        assert code == 2
        assert "dfinery-async[arrow]" in errors
