"""An export from the wire to a file, beside what the same bytes cost without us.

    python benchmarks/exports.py           300 MB
    python benchmarks/exports.py --quick   10 MB

A server process sends the same CSV over the loopback interface, with its length. Each measurement is a process of its
own, in turns. `socket` is a loop of `recv` and `write`, the bare limit. `socket and a look` also looks for the quotes:
whoever wants to know whether an answer broke off within a cell looks at each byte once, and Python has nothing faster
for that than `bytes.translate`. `pyarrow` reads the same CSV from disk, with all its threads, and writes Parquet
compressed with zstd; `read only` stops before. Peaks are of resident memory, above what the process had when it began,
with all modules loaded: pyarrow loads pandas, where that is installed, with its first array of Python's values. All
sync what they have written.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kit.results import Page, options
from kit.tables import short, table

ROUNDS = 5
COLUMNS = (
    "custom_flag,custom_when,df_api_version,df_correction_datetime,df_delivery_charge,df_event_datetime,"
    "df_event_detail_log_id,df_event_log_id,df_event_name,df_items_df_item_id,df_items_df_item_name,df_items_df_price,"
    "df_items_df_quantity,df_order_id,df_payment_method,df_server_datetime,df_service_id,df_source_type,"
    "df_total_purchase_amount,df_unified_id,tags\n"
)
NAMES = {
    "socket": "bare socket to a file",
    "socket and a look": "the same, each byte looked at once",
    "csv": '`save("….csv")`',
    "csv.gz": '`save("….csv.gz")`',
    "jsonl": '`save("….jsonl")`',
    "parquet": '`save("….parquet")`',
    "batches": "`export.batches()`, thrown away",
    "pyarrow": "pyarrow, from disk to Parquet",
    "pyarrow read": "pyarrow, from disk, read only",
}
SLOW = {"csv.gz", "jsonl"}  # these take a tenth of the bytes


def write_csv(path: Path, size: int) -> int:
    """Write an export of events; returns its rows."""
    rows = 0
    with path.open("w", encoding="ascii") as file:
        file.write(COLUMNS)
        while file.tell() < size:
            lines = []
            for rows in range(rows, rows + 10_000):  # noqa: B020 - goes on where it was
                moment = f"2025-03-01 10:{rows // 60_000 % 60:02}:{rows // 1000 % 60:02}.{rows % 1000:03}"
                log_id = (
                    f"17408889{rows % 100_000:05}:{rows:08x}-{rows % 9973:04x}-4000-8000-{rows * 7919 % 2**48:012x}"
                )
                lines.append(
                    f"{'true' if rows % 3 else 'FALSE'},{moment},1.0.0,{moment},2500,{moment},{log_id},{log_id},"
                    f'df_purchase,SKU-{rows % 500},"mug, no. {rows % 500}",{rows % 100}.5,{rows % 7},{rows:08},card,'
                    f'{moment},xyroon,API,{rows % 1000}.25,U{rows % 99_991:06},"[""a"",""b{rows % 50}""]"\n'
                )
            rows += 1
            file.writelines(lines)
    return rows


def serve(path: str, ready: Any) -> None:
    """Answer every request with the file."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ready.send(server.getsockname()[1])
        while True:
            connection, _ = server.accept()
            with connection, Path(path).open("rb") as file:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                head = f"HTTP/1.1 200 OK\r\ncontent-length: {Path(path).stat().st_size}\r\n\r\n"
                try:
                    connection.sendall(head.encode())
                    connection.sendfile(file)
                except OSError:
                    continue


CHILD = """
import asyncio, json, os, resource, socket, sys, time
spec = json.loads(sys.argv[1])
name, port, source, target = spec["name"], spec["port"], spec["source"], spec["target"]

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

NEITHER = bytes(each for each in range(256) if each not in b'"\\n')

def bare(look=lambda data: None):
    with socket.create_connection(("127.0.0.1", port)) as wire, open(target, "wb") as file:
        wire.sendall(b"POST / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
        data = wire.recv(1 << 18)
        file.write(data[data.index(b"\\r\\n\\r\\n") + 4 :])
        while data := wire.recv(1 << 18):
            file.write(data)
            look(data)
        file.flush()
        os.fsync(file.fileno())

def arrow(write):
    table = pyarrow.csv.read_csv(source)
    if write:
        pyarrow.parquet.write_table(table, target, compression="zstd")
        with open(target, "rb") as file:
            os.fsync(file.fileno())

async def ours():
    async with DfineryClient("service", export_token="e", base_url=f"http://127.0.0.1:{port}") as client:
        export = client.export_events("2025-03-01", "2025-03-01")
        if name == "batches":
            async for _ in export.batches():
                pass
        else:
            await export.save(target)

def marks(data):
    for start in range(0, len(data), 1 << 16):
        data[start : start + (1 << 16)].translate(None, NEITHER)

if name == "socket":
    work = bare
elif name == "socket and a look":
    work = lambda: bare(marks)
elif name.startswith("pyarrow"):
    import pyarrow.csv, pyarrow.parquet
    work = lambda: arrow(name == "pyarrow")
else:
    from dfinery_async import DfineryClient
    import dfinery_async.runtime.export_calls, dfinery_async.runtime.wire.transport
    if name in ("parquet", "batches"):
        import pyarrow
        pyarrow.array([None])
        import dfinery_async.runtime.arrow.texts, dfinery_async.runtime.arrow.parquet
    work = lambda: asyncio.run(ours())
before = peak()
begin, cpu = time.perf_counter(), time.process_time()
work()
print(json.dumps({"wall": time.perf_counter() - begin, "cpu": time.process_time() - cpu, "peak": peak() - before}))
"""


def measure(name: str, port: int, source: Path, target: Path) -> dict[str, float]:
    """Measure one way in a process of its own."""
    spec = {"name": name, "port": port, "source": str(source), "target": str(target)}
    done = subprocess.run([sys.executable, "-c", CHILD, json.dumps(spec)], capture_output=True, text=True, check=True)
    target.unlink(missing_ok=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    chosen = options(__doc__ or "").parse_args()
    rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    names = [name for name in NAMES if not chosen.only or name in chosen.only.split(",")]
    size = 10_000_000 if chosen.quick else 300_000_000
    page = Page("exports", "Exports to files", chosen, ("dfinery-async", "pyarrow"))
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        source, small = place / "export.csv", place / "small.csv"
        rows = write_csv(source, size)
        write_csv(small, size // 10)
        ports = {}
        servers = []
        for path in (source, small):
            ours, theirs = multiprocessing.Pipe()
            server = multiprocessing.Process(target=serve, args=(str(path), theirs), daemon=True)
            server.start()
            servers.append(server)
            ports[path] = ours.recv()
        figures: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                path = small if name in SLOW else source
                ending = name if name in {"csv", "csv.gz", "jsonl", "parquet"} else "out"
                took = measure(name, ports[path], path, place / f"saved.{ending}")
                took["rate"] = path.stat().st_size / took["wall"] / 1e6
                figures[name].append(took)
        for server in servers:
            server.terminate()
            server.join()
    page.add(
        f"{size / 1e6:,.0f} MB, {rows:,} rows of 21 columns, four of them datetimes, two with quotes. {rounds} rounds "
        "in turns, medians.\n"
    )
    lines = [
        [
            NAMES[name],
            *(short(median([each[key] for each in runs])) for key in ("rate", "wall", "cpu")),
            short(max(each["peak"] for each in runs)),
        ]
        for name, runs in figures.items()
    ]
    page.add(table(["way", "MB/s", "seconds", "CPU seconds", "highest peak, MiB"], lines))
    ratios = []
    for one, other, wanted in (
        ("csv", "socket", "at least 0.8 of its speed"),
        ("csv", "socket and a look", "for comparison"),
        ("socket and a look", "socket", "for comparison"),
        ("parquet", "pyarrow", "at most 1.5 of its time"),
        ("parquet", "pyarrow read", "for comparison"),
    ):
        if one in figures and other in figures:
            pairs = list(zip(figures[one], figures[other], strict=True))
            time_ratio = median([a["wall"] / b["wall"] for a, b in pairs])
            cpu_ratio = median([a["cpu"] / b["cpu"] for a, b in pairs])
            ratios.append(
                [NAMES[one], NAMES[other], short(time_ratio), short(1 / time_ratio), short(cpu_ratio), wanted]
            )
    page.add(table(["way", "beside", "time", "speed", "CPU", "wanted"], ratios))
    if chosen.write:
        page.keep(dict(figures))


if __name__ == "__main__":
    main()
