"""Codec, grouping and pacing alone, by pyperf: the work that grows with every event or request. No network.

python benchmarks/micro.py                       prints a Markdown table
python benchmarks/micro.py --quick --only codec  one part, measured shortly
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from kit.far_end import CLIENT_CORE, module_command
from kit.results import Page, options
from kit.tables import table


def main() -> None:
    chosen = options(__doc__ or "").parse_args()
    try:
        import pyperf  # one of the packages that may be missing

        from kit.micro_cases import ONLY  # it needs that one, too
    except ImportError:
        print("micro: no figures, pyperf is not installed")
        return
    page = Page(
        "micro", "Codec, grouping and pacing alone", chosen, ("dfinery-async", "msgspec", "aiolimiter", "pyperf")
    )
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "micro.json"
        command, environment = module_command("kit.micro_cases", "--quiet", "-o", str(kept))
        command += [f"--affinity={CLIENT_CORE}", f"--inherit-environ=PATH,PYTHONPATH,{ONLY}"]
        if chosen.rounds:
            command.append(f"--processes={chosen.rounds}")
        elif chosen.quick:
            command.append("--fast")
        subprocess.run(command, env={**environment, ONLY: chosen.only}, check=True)
        suite = pyperf.BenchmarkSuite.load(str(kept))
    lines = []
    for benchmark in suite.get_benchmarks():
        name = benchmark.get_name()
        figures = sorted(1e6 * value for value in benchmark.get_values())
        low, high = figures[len(figures) // 10], figures[-1 - len(figures) // 10]
        middle = 1e6 * benchmark.median()
        lines.append([name, f"{middle:.3f}", f"{low:.3f} to {high:.3f}", f"{1e6 / middle:,.0f}"])
    page.add(table(["what", "median, µs", "10 % to 90 %, µs", "a second, one core"], lines))
    if chosen.write:
        page.keep()


if __name__ == "__main__":
    main()
