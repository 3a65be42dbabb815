"""Exports as Arrow tables and Parquet, by the scripted far end of `export_bench`."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from zoneinfo import ZoneInfo

import pytest
from export_bench import BREAK, HANG, Bench, Reply, until
from hypothesis import given, settings, strategies as st

from dfinery_async.core.columns import row_typer
from dfinery_async.core.taxonomy import DataType
from dfinery_async.errors import ConfigError, DfineryError, ExportError, ExportInterrupted
from dfinery_async.runtime import export_tables

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
cells = pytest.importorskip("dfinery_async.runtime.arrow.cells")

SEOUL = ZoneInfo("Asia/Seoul")
KST = dt.timezone(dt.timedelta(hours=9))
ZONES = [SEOUL, KST, dt.UTC, ZoneInfo("Europe/Paris")]
LOG_ID = "30873a05-62d3-4007-b643-f500a151be24"


def csv_of(**columns):
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(row) for row in rows), ""]).encode()


async def table_of(data, **options):
    async with Bench(Reply(data), **options) as bench:
        return await bench.export.arrow()


@pytest.mark.asyncio
async def test_columns_have_the_types_of_the_taxonomy():
    table = await table_of(
        csv_of(
            df_event_datetime=["2025-01-06 10:38:10.036", "2025.1.6 10:38", ""],
            df_event_log_id=[f"1736127490036:{LOG_ID.upper()}", "17", ""],
            df_items_df_quantity=["3", "4.0", "null"],
            df_order_id=["00000001", "null", ""],
            df_push_optin=["TRUE", "false", ""],
            df_total_purchase_amount=["4000", "-1.5e3", ""],
        )
    )

    assert table.schema == pa.schema(
        [
            ("df_event_datetime", pa.timestamp("us", "Asia/Seoul")),
            ("df_event_log_id", pa.string()),
            ("event_log_id", pa.string()),
            ("df_items_df_quantity", pa.int64()),
            ("df_order_id", pa.string()),
            ("df_push_optin", pa.bool_()),
            ("df_total_purchase_amount", pa.float64()),
        ]
    )
    assert table.to_pydict() == {
        "df_event_datetime": [
            dt.datetime(2025, 1, 6, 10, 38, 10, 36000, tzinfo=KST),
            dt.datetime(2025, 1, 6, 10, 38, tzinfo=KST),
            None,
        ],
        "df_event_log_id": [f"1736127490036:{LOG_ID.upper()}", "17", None],
        "event_log_id": [LOG_ID, None, None],
        "df_items_df_quantity": [3, 4, None],
        "df_order_id": ["00000001", "null", None],
        "df_push_optin": [True, False, None],
        "df_total_purchase_amount": [4000.0, -1500.0, None],
    }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["TRUE", "", "false"], pa.bool_(), [True, None, False]),
        (["TRUE", "maybe"], pa.string(), ["TRUE", "maybe"]),
        (["1", "2"], pa.string(), ["1", "2"]),
        (["", ""], pa.string(), [None, None]),
        (["null", "null"], pa.string(), [None, None]),
        (["null", "x"], pa.string(), [None, "x"]),
        (["null", '"[1,2]"'], pa.list_(pa.int64()), [None, [1, 2]]),
        (["[1]", "[2.5]"], pa.list_(pa.float64()), [[1.0], [2.5]]),
        (["[1]", '"[""a""]"'], pa.string(), ["[1]", '["a"]']),
        (['"[""a"",null]"', "[]"], pa.list_(pa.string()), [["a", None], None]),
        (["[true]", ""], pa.string(), ["[true]", None]),
        (["2025.1.6 10:35", ""], pa.timestamp("us", "Asia/Seoul"), [dt.datetime(2025, 1, 6, 10, 35, tzinfo=KST), None]),
        (["2025-01-06 10:35:00", "2025-01-06"], pa.string(), ["2025-01-06 10:35:00", "2025-01-06"]),
    ],
)
async def test_other_columns_are_what_all_their_cells_are(texts, kind, values):
    table = await table_of(csv_of(mine=texts, more=["x"] * len(texts)))

    assert table.schema.field("mine").type == kind
    assert table["mine"].to_pylist() == values


@pytest.mark.asyncio
async def test_a_cell_that_comes_late_makes_the_column_text():
    rows = 40_000
    texts = ["true"] * rows + ["perhaps"]
    table = await table_of(csv_of(mine=texts, more=["x" * 200] * len(texts)))

    assert table["mine"].num_chunks > 1
    assert table["mine"].to_pylist()[-2:] == ["true", "perhaps"]


@pytest.mark.asyncio
async def test_parts_that_say_nothing_of_a_column_take_its_type_from_others():
    replies = [Reply(csv_of(mine=[text], more=["x"])) for text in ("", "[1]", "[1.5]")]
    async with Bench(*replies, parts=3) as bench:
        table = await bench.export.arrow()

    assert table["mine"].to_pylist() == [None, [1.0], [1.5]]


@pytest.mark.asyncio
async def test_a_taxonomy_names_types():
    kinds = {
        "day": DataType.DATE,
        "when": DataType.DATETIME,
        "count": DataType.LONG,
        "tags": DataType.STRINGS,
        "flag": DataType.STRING,
    }
    table = await table_of(
        csv_of(day=["2025-03-01"], when=["2025-03-01 00:00:00"], count=["7"], tags=["null"], flag=["true"]),
        kinds=kinds,
        zone=dt.UTC,
    )

    assert [field.type for field in table.schema] == [
        pa.date32(), pa.timestamp("us", "+00:00"), pa.int64(), pa.list_(pa.string()), pa.string(),
    ]  # fmt: skip
    assert table.to_pylist() == [
        {
            "day": dt.date(2025, 3, 1),
            "when": dt.datetime(2025, 3, 1, tzinfo=dt.UTC),
            "count": 7,
            "tags": None,
            "flag": "true",
        }
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("text", ["many", "9999999999999999999"])
async def test_a_cell_that_is_not_of_its_columns_type_is_named(tmp_path, text):
    data = csv_of(df_items_df_quantity=["1"] * 20 + [text], df_order_id=["x"] * 21)

    async with Bench(Reply(data)) as bench:
        with pytest.raises(ExportError, match=r"row 21, column 'df_items_df_quantity': the cell is no Long") as caught:
            await bench.export.save(tmp_path / "a.parquet")
    assert text not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_rows_and_tables_say_the_same():
    random.seed(20260)
    choices = [
        "",
        "null",
        "TRUE",
        "false",
        "x",
        "a\nb",
        'say ""hi""',
        "[1,2]",
        "2025.1.6 10:35",
        "1.5",
        "0007",
        "é\u2028",
    ]
    names = ["df_order_id", "mine", "df_event_log_id", "yours"]
    lines = [",".join(f'"{random.choice(choices)}"' for _ in names) for _ in range(3000)]
    data = "\r\n".join([",".join(names), *lines, ""]).encode()
    async with Bench(Reply(data)) as bench:
        rows = [row async for row in bench.export]
    table = await table_of(data)

    assert tuple(rows[0]) == tuple(table.column_names)
    # What is mixed is text in a table, where a row has values.
    assert [row["df_order_id"] for row in rows] == table["df_order_id"].to_pylist()
    assert [text for row in rows for text in [row["mine"]] if isinstance(text, str)] == [
        text for text, row in zip(table["mine"].to_pylist(), rows, strict=True) if isinstance(row["mine"], str)
    ]


KNOWN_TEXTS = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[-+]?[0-9.]{1,6}(e[0-9])?", fullmatch=True),
    st.sampled_from(
        ["true", "FALSE", "null", "1", "0", "nan", "inf", "2025-01-06", "2025-01-06 10:38", "[1]", '["a"]']
    ),
    st.datetimes().filter(lambda moment: 1800 < moment.year < 2200).map(lambda moment: moment.isoformat(" ")),
    st.datetimes().filter(lambda moment: 1800 < moment.year < 2200).map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(["2024-03-31 02:30:00", "2024-10-27 02:30:00.5", "2025.1.6 10:35"]),
).filter(lambda text: text and not any("\ud800" <= each <= "\udfff" for each in text))


@settings(max_examples=400)
@given(st.sampled_from([None, *DataType]), st.lists(KNOWN_TEXTS, min_size=1, max_size=4), st.sampled_from(ZONES))
def test_columns_are_read_as_rows_are(kind, texts, zone):
    type_row = row_typer(["mine"], zone, {"mine": kind})
    values = [type_row([text])["mine"] for text in texts]
    column = pa.array(texts, pa.string())
    if kind in {DataType.STRING, None}:
        assert cells.typed(column, kind, zone).to_pylist() == texts
        return
    try:
        read = cells.typed(column, kind, zone).to_pylist()
    except cells.Misfit as misfit:
        value = values[misfit.row]
        assert isinstance(value, str) or abs(value if isinstance(value, int) else max(value)) >= 2**63
    else:
        assert [in_utc(value) for value in read] == [in_utc(value) for value in values]
        assert [type(value) for value in read] == [type(value) for value in values]


def in_utc(value):
    """The moment of a datetime: one that a clock passed over compares as unequal to itself in its own zone."""
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) else value


@settings(max_examples=300)
@given(st.lists(st.one_of(st.none(), KNOWN_TEXTS), max_size=6), st.integers(0, 6))
def test_an_inferred_kind_fits_wherever_the_column_is_cut(texts, cut):
    kind = cells.inferred_kind(pa.array(texts[:cut], pa.string()), SEOUL, None)
    kind = cells.inferred_kind(pa.array(texts[cut:], pa.string()), SEOUL, kind)

    assert kind is cells.inferred_kind(pa.array(texts, pa.string()), SEOUL, None)
    cells.typed(pa.array(texts, pa.string()), kind or DataType.STRING, SEOUL)


@pytest.mark.asyncio
@pytest.mark.parametrize("inside", [True, False])
async def test_batches(inside):
    data = csv_of(df_order_id=[f"{n:06}" for n in range(50_000)], more=["x" * 300] * 50_000)
    async with Bench(Reply(*[data[at : at + 100_000] for at in range(0, len(data), 100_000)])) as bench:
        if inside:
            async with bench.export as export:
                batches = [batch async for batch in export.batches()]
                with pytest.raises(DfineryError, match="runs once"):
                    export.batches()
        else:
            batches = [batch async for batch in bench.export.batches()]

    assert len(batches) > 2
    assert [name for batch in batches for name in batch["df_order_id"].to_pylist()] == [
        f"{n:06}" for n in range(50_000)
    ]


@pytest.mark.asyncio
async def test_leaving_the_batches_early_leaves_nothing():
    data = csv_of(a=["x"] * 10)
    async with Bench(Reply(data)) as bench, bench.export as export:
        async for _ in export.batches():
            break


@pytest.mark.asyncio
async def test_parquet(tmp_path):
    goal = tmp_path / "a.parquet"
    data = csv_of(df_order_id=["1", "2"], df_total_purchase_amount=["1.5", ""])
    # The first attempt breaks off: what came of it must not be in the file.
    async with Bench(Reply(data, BREAK), Reply(data), Reply(data), parts=2) as bench:
        saved = await bench.export.save(goal)

    assert (saved.rows, saved.bytes) == (4, goal.stat().st_size)
    assert goal.stat().st_mode & 0o777 == 0o600
    assert pq.read_table(goal).to_pydict() == {
        "df_order_id": ["1", "2", "1", "2"],
        "df_total_purchase_amount": [1.5, None, 1.5, None],
    }
    assert pq.ParquetFile(goal).metadata.row_group(0).column(0).compression == "ZSTD"
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.asyncio
async def test_an_export_without_rows_is_a_table_without_rows(tmp_path):
    async with Bench(Reply(b"df_order_id,df_discount\n")) as bench:
        assert (await bench.export.save(tmp_path / "a.parquet")).rows == 0
    assert pq.read_table(tmp_path / "a.parquet").schema.types == [pa.string(), pa.float64()]
    async with Bench(Reply(b"df_order_id")) as bench:
        assert [batch.num_rows async for batch in bench.export.batches()] in ([], [0])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a,b\n1,2\n3\n", "row 2 has 1 fields of 2"),
        (b"a,b\n1,2\n3,4,5\n", "row 2 has 3 fields"),
        (b'a,b\n1,2\n"3"x,4\n', "after row 0 the answer is no CSV"),
        (b"a,b\n1,2\n3,\xff\n", "UTF-8"),
        (b'a,b\n1,2\n{"result":"fail","message":"client_connection_closed"}', "client_connection_closed"),
        (b"a,a\n1,2\n", "'a' comes twice"),
        (b"kim@example.com,kim@example.com\n1,2\n", "'<e-mail>' comes twice"),
    ],
)
async def test_what_is_no_csv_is_no_table(tmp_path, data, problem):
    async with Bench(*[Reply(data) for _ in range(3)]) as bench:
        with pytest.raises(ExportError, match=problem):
            await bench.export.save(tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_blank_lines_are_no_rows_and_quoted_newlines_are_cells():
    table = await table_of(b'a,b\n\n1,"x\ny"\n\n2,z\n')
    assert table.to_pydict() == {"a": ["1", "2"], "b": ["x\ny", "z"]}
    assert (await table_of(b"a\n1\n\n2\n")).to_pydict() == {"a": ["1", None, "2"]}


@pytest.mark.asyncio
async def test_every_cut_is_seen(tmp_path):
    data = csv_of(df_order_id=["1", "2"], df_total_purchase_amount=["1.5", ""])
    for cut in range(len(data)):
        async with Bench(*[Reply(data[:cut], BREAK) for _ in range(3)]) as bench:
            with pytest.raises(ExportInterrupted):
                await bench.export.save(tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_cancelling_leaves_nothing(tmp_path):
    data = csv_of(a=["x" * 1000] * 10_000)
    reply = Reply(data[:5_000_000], data[5_000_000:], HANG)
    async with Bench(reply) as bench:
        saving = asyncio.create_task(bench.export.save(tmp_path / "a.parquet"))
        await until(lambda: reply.given == 2)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_without_pyarrow_the_error_names_the_extra(monkeypatch, tmp_path):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(export_tables, "import_module", missing)
    async with Bench() as bench:
        for use in (lambda: bench.export.save(tmp_path / "a.parquet"), bench.export.arrow):
            with pytest.raises(ConfigError, match=r"dfinery-async\[arrow\]"):
                await use()
        with pytest.raises(ConfigError, match=r"dfinery-async\[arrow\]"):
            bench.export.batches()
        assert bench.source.bodies == []


def test_known_columns_have_types():
    for kind in DataType:
        assert cells.typed(pa.array([None], pa.string()), kind, SEOUL).type == cells.arrow_type(kind, SEOUL)
