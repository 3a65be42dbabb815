"""Where a run is kept: a dated page with its command and the shape of the machine, the figures as JSON beside it."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def shape(*packages: str) -> str:
    """Describe the machine as far as a figure depends on it; no names of machines.

    Args:
        packages: distributions whose versions the figures depend on; one that is absent is left out.
    """
    python = f"{platform.python_implementation()} {platform.python_version()}"
    parts = [f"{os.cpu_count()} cores", platform.machine(), platform.system(), python]
    for package in packages:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


def command() -> str:
    """Return the command that made this run."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def options(about: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the run in benchmarks/results")
    parser.add_argument("--quick", action="store_true", help="a small version: it shows that all works, not how fast")
    parser.add_argument("--rounds", type=int, default=None, metavar="N", help="how often each figure is taken")
    parser.add_argument("--only", default="", metavar="A,B", help="only these parts")
    return parser


def parts(parser: argparse.ArgumentParser, chosen: argparse.Namespace, every: Iterable[str]) -> list[str]:
    """Return the parts that `--only` names, all where it names none; a name that is none ends the run."""
    known = list(every)
    named = [part for part in chosen.only.split(",") if part]
    if strange := sorted(set(named) - set(known)):
        parser.error(f"--only: {', '.join(strange)} is not among {', '.join(known)}")
    return named or known


class Page:
    """One run: printed, and kept where that is asked for.

    Args:
        name: of the benchmark; part of the file's name.
        title: of the page.
        packages: distributions whose versions stand on the page.
    """

    def __init__(self, name: str, title: str, packages: tuple[str, ...] = ()) -> None:
        self.name = name
        self.day = dt.datetime.now(dt.UTC).date().isoformat()
        self.head = f"# {title}, {self.day}\n\n`{command()}` on {shape(*packages)}.\n"
        self._shape = shape(*packages)
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        """Add a part, and print it."""
        if not self._parts:
            print(self.head)
        self._parts.append(text)
        print(text, flush=True)

    def path(self, ending: str) -> Path:
        """Return where a file of this run belongs, such as `-b.light.svg`."""
        RESULTS.mkdir(exist_ok=True)
        return RESULTS / f"{self.day}-{self.name}{ending}"

    def keep(self, figures: dict[str, Any] | None = None) -> None:
        """Write the page, and the figures beside it."""
        self.path(".md").write_text("\n".join([self.head, *self._parts]).rstrip() + "\n", encoding="utf-8")
        if figures is not None:
            whole = {"benchmark": self.name, "day": self.day, "command": command(), "shape": self._shape, **figures}
            self.path(".json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
