"""What reading a file costs: parsed, checked and encoded as events, beside polars and pyarrow parsing the same file.

    python benchmarks/files.py           200,000 rows
    python benchmarks/files.py --quick   5,000

The others only parse: they check no value, make no ids and encode nothing. `send` is what the producer costs on top, as
`compare.py` measures it, and what reading has to keep up with.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kit.results import Page, options
from kit.tables import short, spread, table

ROUNDS = 5
FORMS = ("jsonl", "jsonl.gz", "csv", "parquet")
READERS = ("ours", "polars", "pyarrow")

CHILD = """
import asyncio, json, sys, time
name, form, path = sys.argv[1:]

async def ours():
    from dfinery_async.cli.source import Shape, Source
    from dfinery_async.runtime.intake import event_receipt
    source = Source(path, Shape(kind="events"))
    begin = time.process_time()
    count = 0
    async for block in source.blocks():
        for record in block:
            event_receipt(record.identity, record.event, 0.0)
            count += 1
    return count, begin

if name == "ours":
    import dfinery_async.cli.source
    if form == "parquet":
        import dfinery_async.runtime.arrow.frames
    count, begin = asyncio.run(ours())
elif name == "polars":
    import polars
    begin = time.process_time()
    read = {"csv": polars.read_csv, "parquet": polars.read_parquet}.get(form, polars.read_ndjson)
    count = read(path).height
else:
    import pyarrow.csv, pyarrow.json, pyarrow.parquet
    begin = time.process_time()
    read = {"csv": pyarrow.csv.read_csv, "parquet": pyarrow.parquet.read_table}.get(form, pyarrow.json.read_json)
    count = read(path).num_rows
print(json.dumps([count, time.process_time() - begin]))
"""


def write_files(place: Path, rows: int) -> None:
    """Write the same purchases in every form."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    events = [
        {
            "identity": {"external_id": f"member-{number * 7919 % (rows // 3 + 1)}"},
            "event_name": "df_purchase",
            "event_datetime": f"2025-03-02T04:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z",
            "event_properties": {"df_order_id": f"{number:08}", "df_total_purchase_amount": number % 1000 / 4},
        }
        for number in range(rows)
    ]
    lines = "".join(json.dumps(event) + "\n" for event in events).encode()
    (place / "e.jsonl").write_bytes(lines)
    (place / "e.jsonl.gz").write_bytes(gzip.compress(lines))
    names = ["identity.external_id", "event_name", "event_datetime"]
    names += ["event_properties.df_order_id", "event_properties.df_total_purchase_amount"]
    flat = []
    for event in events:
        properties: Any = event["event_properties"]
        identity: Any = event["identity"]
        moment = event["event_datetime"]
        flat.append([identity["external_id"], event["event_name"], moment, *properties.values()])
    (place / "e.csv").write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in flat), ""]))
    columns = dict(zip(names, map(list, zip(*flat, strict=True)), strict=True))
    pq.write_table(pa.table(columns), place / "e.parquet", compression="zstd")


def main() -> None:
    chosen = options(__doc__ or "").parse_args()
    rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    rows = 5000 if chosen.quick else 200_000
    page = Page("files", "Reading files", chosen, ("dfinery-async", "msgspec", "polars", "pyarrow"))
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        write_files(place, rows)
        for _ in range(rounds):
            for form in FORMS:
                for name in READERS:
                    command = [sys.executable, "-c", CHILD, name, form, str(place / f"e.{form}")]
                    done = subprocess.run(command, capture_output=True, text=True, check=False)
                    if done.returncode == 0:  # not everybody reads everything
                        count, seconds = json.loads(done.stdout)
                        assert count == rows, (name, form, count)
                        figures.setdefault(f"{form}, {name}", []).append(seconds / rows * 1e6)
    lines = []
    for form in FORMS:
        for name in READERS:
            values = figures.get(f"{form}, {name}")
            if values:
                middle = sorted(values)[len(values) // 2]
                what = "parsed, checked, encoded" if name == "ours" else "parsed"
                lines.append([form, name, what, short(middle), spread(values), short(1e6 / middle)])
    page.add(f"{rows:,} purchases of {rows // 3:,} users; {rounds} rounds in turns; CPU time of all threads.\n")
    page.add(table(["form", "reader", "done", "CPU, µs a row", "lowest to highest", "rows a second of CPU"], lines))
    if chosen.write:
        page.keep(dict(figures))


if __name__ == "__main__":
    main()
