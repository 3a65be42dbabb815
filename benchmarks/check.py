"""Say of the kept runs of the newest day what holds of what they should show. A report: it never fails.

python benchmarks/check.py
"""

from __future__ import annotations

from typing import Any

from kit import bounds
from kit.results import newest, options

JUDGES = {"compare": bounds.of_compare, "growth": bounds.of_growth, "idle_latency": bounds.of_idle}


def main() -> None:
    options(__doc__ or "").parse_args()  # it takes those of all benchmarks, and needs none
    for name, judge in JUDGES.items():
        runs = newest(name)
        print(f"# {name}\n")
        if not runs:
            print(f"No whole run is kept; `python benchmarks/{name}.py --write` keeps one.\n")
            continue
        figures: dict[str, Any] = {}
        for run in runs:
            print(f"{run['at']}: `{run['command']}` on {run['shape']}.\n")
            figures.update(run["figures"])
        print(bounds.section(judge(figures)))


if __name__ == "__main__":
    main()
