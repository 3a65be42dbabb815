"""Habits of the house that no linter knows: how tests wait, what files say, and that CONTRIBUTING.md is still true."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ["dfinery_async", "tests", "examples", "benchmarks"]
PAGES = ["*.md", "docs/**/*.md", "benchmarks/**/*.md", "pyproject.toml", "NOTICE", ".ci/run"]
MACHINE = re.compile(r"(?<![\w.-])/(?:home|root|Users|mnt)/[\w.]+|/site-packages/\w+/")

POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*+?]|\{[\d,]+\})\+")


def python_files() -> dict[str, str]:
    paths = [ROOT / "noxfile.py", *(path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py")))]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def pages() -> dict[str, str]:
    paths = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def naps(name: str, text: str) -> Iterator[str]:
    """Sleeps in tests that take real time.

    `sleep(0)` lets others run. In virtual time (tests/runtime/far_end.py, cancel_kit.py and wire_bench.py, all of
    tests/simulation) asyncio's sleep moves the clock.
    """
    if not name.startswith("tests/"):
        return
    virtual = name.startswith("tests/simulation/") or re.search(r"\b(virtually|on_bench|in_memory)\b", text) is not None
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sleep"):
            called = ast.unparse(node)
            if not (called.endswith("sleep(0)") or (virtual and called.startswith("asyncio."))):
                yield f"line {node.lineno}: {called}"


def patches(name: str, text: str) -> Iterator[str]:
    """Fakes of our own classes: what is faked is the far end, by the emulator or by a transport."""
    if not name.startswith("tests/"):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            if any(part in {"mock", "unittest.mock", "pytest_mock"} for part in names):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def machine_paths(_: str, text: str) -> Iterator[str]:
    """Paths of one machine, which mean nothing on another."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := MACHINE.search(line):
            yield f"line {number}: {found[0]}"


def possessive_groups(name: str, text: str) -> Iterator[str]:
    """Groups repeated possessively, such as `(?:…)*+`: early Pythons 3.11 match them wrongly (python/cpython#106052).

    Debian 12 has 3.11.2. The same as an atomic group, `(?>(?:…)*)`, is right there too; so is `[…]*+`.
    """
    if not name.startswith("dfinery_async/"):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            value = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if found := POSSESSIVE_GROUP.search(value):
                yield f"line {node.lineno}: {found[0]}"


Habit = Callable[[str, str], Iterator[str]]

BREAKERS: list[tuple[Habit, str]] = [
    (naps, "await asyncio.sleep(0.1)"),
    (naps, "time.sleep(seconds)"),
    (naps, "from time import sleep\nsleep(1)"),
    (naps, "from far_end import virtually\ntime.sleep(1)"),
    (patches, "from unittest.mock import patch"),
    (patches, "import unittest.mock"),
    (patches, "from unittest import mock"),
    (possessive_groups, "re.compile(rb'(?:a|b)*+')"),
    (possessive_groups, "re.compile('(a|b){2,3}+c')"),
    (machine_paths, "cd /home" + "/somebody/dfinery-async"),
    (machine_paths, "open('/root" + "/x')"),
]
KEEPERS: list[tuple[Habit, str]] = [
    (naps, "await asyncio.sleep(0)"),
    (naps, "from far_end import virtually\nawait asyncio.sleep(60)"),
    (patches, "from respx import MockRouter\ntransport = httpx.MockTransport(answer)"),
    (possessive_groups, "re.compile(r'(?>(?:a|b)*)[^x]*+\\)*+')"),
    (machine_paths, "POST /api/v1/events and https://example.com/home/page"),
]


@pytest.mark.parametrize("habit", [naps, patches, possessive_groups, machine_paths], ids=lambda habit: habit.__name__)
def test_the_house_keeps_the_habit(habit):
    texts = {**python_files(), **(pages() if habit is machine_paths else {})}
    faults = [f"{name}: {fault}" for name, text in texts.items() for fault in habit(name, text)]

    assert faults == []


@pytest.mark.parametrize(("habit", "text"), BREAKERS)
def test_the_habit_finds_what_breaks_it(habit, text):
    name = "dfinery_async/x.py" if habit is possessive_groups else "tests/test_x.py"

    assert list(habit(name, text)) != []


@pytest.mark.parametrize(("habit", "text"), KEEPERS)
def test_the_habit_lets_good_code_pass(habit, text):
    name = "dfinery_async/x.py" if habit is possessive_groups else "tests/test_x.py"

    assert list(habit(name, text)) == []


def twice(paths: list[str]) -> list[str]:
    """Names of test modules that stand twice: pytest and mypy would take one for the other."""
    names = Counter(Path(path).name for path in paths if path.startswith("tests/"))
    return [name for name, count in names.items() if count > 1]


def test_names_of_test_modules_are_unique():
    assert twice(list(python_files())) == []
    assert twice(["tests/core/test_a.py", "tests/cli/test_a.py", "tests/cli/test_b.py"]) == ["test_a.py"]


def unmapped(page: str, parts: set[str]) -> set[str]:
    """Parts of the package that the map in CONTRIBUTING.md does not show."""
    map_of_the_house = page.partition("```text\n")[2].partition("\n```")[0]
    return {part for part in parts if not re.search(rf"(?<![\w/]){re.escape(part)}", map_of_the_house)}


def test_the_map_of_the_house_shows_every_part():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    entries = [path for path in (ROOT / "dfinery_async").iterdir() if path.name not in {"__pycache__", "py.typed"}]
    parts = {f"{path.name}/" if path.is_dir() else path.name for path in entries}
    tests = {f"{path.name}/" for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}

    assert unmapped(page, parts | tests) == set()
    assert unmapped(page, {"attic/"}) == {"attic/"}


def unreachable(index: str, names: set[str]) -> set[str]:
    """Pages of docs/ that the navigation in docs/index.md does not lead to."""
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", index, flags=re.MULTILINE | re.DOTALL)
    return names - {line.strip() for tree in trees for line in tree.splitlines()}


def test_the_navigation_leads_to_every_page():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    names = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert unreachable(index, names - {"index"}) == set()
    assert unreachable(index, {"tour", "attic"}) == {"attic"}


def test_commands_of_contributing_are_sessions():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    sessions = {
        node.name
        for node in ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and any("session" in ast.unparse(mark) for mark in node.decorator_list)
    }
    shown = set(re.findall(r"^\| `nox -s (\w+)", page, flags=re.MULTILINE))

    assert shown == sessions
