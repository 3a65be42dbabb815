"""The long campaign: real purchases, copied to two million events, through each engine into the emulator.

    DFINERY_CDNOW=CDNOW_master.txt.gz python tests/engines/campaign.py --users 6 --times 5 --quota 60000/1m

The rows are sorted by user and time, as an export of a warehouse is. With a quota, 5 % faults, and a worker that is
killed on the way. Prints what the far end saw, and keeps it with `--write`. Without `DFINERY_CDNOW`, which names the
whole file of purchases, the package's sample of it is copied.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine_kit import far_end, job
from engine_rows import write
from engine_runs import ENGINES
from engine_servers import redis_server

RESULTS = Path(__file__).parent / "results"
TIMEOUT = 7200.0
MOST_THROTTLED = 0.01


def run(engine: str, path: str, count: int, chosen: argparse.Namespace) -> dict[str, Any]:
    begun = time.monotonic()
    with far_end(quota=chosen.quota, seed=chosen.seed) as end:
        report = ENGINES[engine](end, path, chosen.parts, count * 2 // 5, TIMEOUT)
        verdict = end.verdict()
    verdict["throttled share"] = round(verdict["throttled"] / verdict["requests"], 5)
    verdict["sent again"] = verdict["arrivals"] - verdict["events"]
    good = (
        verdict["events"] == verdict["ids"] == count
        and verdict["new_ids"] == verdict["shared_ids"] == verdict["overtaken"] == 0
        and verdict["throttled share"] <= MOST_THROTTLED
    )
    return {**verdict, "reported": report, "wall": round(time.monotonic() - begun, 1), "good": good}


def page(results: dict[str, dict[str, Any]], count: int, chosen: argparse.Namespace) -> str:
    names = ["events", "ids", "new_ids", "shared_ids", "overtaken", "sent again", "requests", "faults", "throttled"]
    names += ["throttled share", "seconds", "good"]
    day = dt.datetime.now(dt.UTC).date()
    lines = [
        f"# {count:,} real purchases through the engines, {day}",
        "",
        f"`python tests/engines/campaign.py {' '.join(sys.argv[1:])}`",
        "",
        f"Python {platform.python_version()} on {platform.system()}, {os.cpu_count()} cores. The emulator: a quota of",
        f"{chosen.quota}, faults on 5 % of the calls. A worker was killed when two fifths of the events had arrived.",
        "",
        f"| | {' | '.join(results)} |",
        f"|---|{'---:|' * len(results)}",
    ]
    for name in names:
        cells = [result[name] for result in results.values()]
        lines.append(f"| {name} | {' | '.join(_shown(cell) for cell in cells)} |")
    return "\n".join([*lines, "", EXPLAINED, ""])


EXPLAINED = """\
`events` are told apart by their order id, `ids` by their log id; `new_ids` are events that came under a second id,
`shared_ids` ids that stand for two events, `overtaken` events that first arrived after a later one of their user.
`sent again` are arrivals of what had arrived before: after a lost answer, or from a task that was run again.
`seconds` are those from the first request to the last."""


def _shown(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="*", default=list(ENGINES))
    parser.add_argument("--users", type=int, default=1)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--quota", default="60000/1m")
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        count = write(path, chosen.users, chosen.times, by_user=True)
        for engine in chosen.engines:
            if engine == "faststream":
                with redis_server() as url:
                    with job("faststream", url, "--fill", str(path), environment={}) as filling:
                        filling.result(TIMEOUT)
                    results[engine] = run(engine, url, count, chosen)
            else:
                results[engine] = run(engine, str(path), count, chosen)
            print(engine, results[engine], flush=True)  # noqa: T201 - a script
    text = page(results, count, chosen)
    print(text)  # noqa: T201
    if chosen.write:
        RESULTS.mkdir(exist_ok=True)
        day = dt.datetime.now(dt.UTC).date()
        (RESULTS / f"{day}-{count // 1000}k.md").write_text(text, encoding="utf-8")
    sys.exit(not all(result["good"] for result in results.values()))


if __name__ == "__main__":
    main()
