"""Say of the newest kept runs what holds of what they should show. A report: it never fails.

python benchmarks/check.py
"""

from __future__ import annotations

import json

from kit import bounds
from kit.results import RESULTS, options

JUDGES = {"compare": bounds.of_compare, "growth": bounds.of_growth, "idle_latency": bounds.of_idle}


def main() -> None:
    options(__doc__ or "").parse_args()  # it takes those of all benchmarks, and needs none
    for name, judge in JUDGES.items():
        kept = sorted(RESULTS.glob(f"*-{name}.json"))
        if not kept:
            print(f"# {name}: no run is kept; `python benchmarks/{name}.py --write` keeps one\n")
            continue
        run = json.loads(kept[-1].read_text("utf-8"))
        print(f"# {name} of {run['day']}\n\n`{run['command']}` on {run['shape']}.\n")
        print(bounds.section(judge(run["figures"])))


if __name__ == "__main__":
    main()
