"""A thousand workers on one quota, in virtual time: how much of it they use, and how often they are refused.

    python tests/simulation/workers.py                  1,000 workers for eight windows of 60,000 calls a minute
    python tests/simulation/workers.py --workers 100 --limit 6000 --seeds 1..3

Each has a real pacer and sees nothing of the others but the headers of its own replies. All begin within 50 ms, the
hardest start there is; what they cost until they know of each other is told apart from what comes after.
"""

from __future__ import annotations

import argparse
import sys

from quota_world import Client, Figures, Plan, simulate

USED, THROTTLED = 0.95, 0.005
START = 3  # windows until which the start counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--limit", type=int, default=60_000)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--seeds", default="1..1")
    chosen = parser.parse_args()
    first, _, last = chosen.seeds.partition("..")
    good = True
    for seed in range(int(first), int(last or first) + 1):
        plan = Plan([Client() for _ in range(chosen.workers)], limit=chosen.limit, windows=chosen.windows)
        figures = simulate(plan, seed)
        good &= figures.used(START) >= USED and figures.throttled(START) <= THROTTLED
        tell(seed, figures)
    sys.exit(not good)


def tell(seed: int, figures: Figures) -> None:
    early = [sum(count for (window, _), count in figures.refused.items() if window == each) for each in range(START)]
    print(  # noqa: T201 - a script
        f"seed {seed}: {figures.used(START):.2%} of the quota used, {figures.throttled(START):.3%} of the calls refused"
        f" from window {START} on; refused in the windows before: {early}",
        flush=True,
    )


if __name__ == "__main__":
    main()
