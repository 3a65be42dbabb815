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
QUICK = "-quick"


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
        name: of the benchmark; part of the file's name. A quick run and one of some parts add to it, so that neither
            takes the place of a whole one.
        title: of the page.
        chosen: the options.
        packages: distributions whose versions stand on the page.
    """

    def __init__(self, name: str, title: str, chosen: argparse.Namespace, packages: tuple[str, ...] = ()) -> None:
        self._now = dt.datetime.now(dt.UTC)
        self._day = self._now.date().isoformat()
        self._name = name
        self._stem = f"{self._day}-{name}{QUICK if chosen.quick else ''}"
        self._parts = f"-{chosen.only.replace(',', '-')}" if chosen.only else ""
        self._shape = shape(*packages)
        self._head = f"# {title}, {self._day}\n\n`{command()}` on {self._shape}.\n"
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Add a part, and print it."""
        if not self._texts:
            print(self._head)
        self._texts.append(text)
        print(text, flush=True)

    def path(self, ending: str) -> Path:
        """Return where a file of this run belongs, such as `-b.light.svg`."""
        RESULTS.mkdir(exist_ok=True)
        return RESULTS / f"{self._stem}{ending}"

    def keep(self, figures: dict[str, Any] | None = None) -> None:
        """Write the page, and the figures beside it."""
        page = "\n".join([self._head, *self._texts]).rstrip() + "\n"
        self.path(f"{self._parts}.md").write_text(page, encoding="utf-8")
        if figures is not None:
            run = {
                "benchmark": self._name,
                "at": self._now.isoformat(timespec="seconds"),
                "command": command(),
                "shape": self._shape,
                "figures": figures,
            }
            self.path(f"{self._parts}.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def newest(name: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the kept runs of a benchmark of its newest day, the latest last; quick ones do not count."""
    paths = sorted(path for path in folder.glob(f"????-??-??-{name}*.json") if QUICK not in path.name)
    runs = [json.loads(path.read_text("utf-8")) for path in paths]
    latest = max((run["at"] for run in runs), default="")
    return sorted((run for run in runs if run["at"][:10] == latest[:10]), key=lambda run: run["at"])
