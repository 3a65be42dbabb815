"""The rules of the house (CONTRIBUTING.md), checked on the source of every module.

Each rule is a function from a module to its faults. Each is also fed modules that break it, since a check that cannot
fail is a defect.
"""

from __future__ import annotations

import ast
import functools
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "dfinery_async"
SOURCE = Path(__file__).parents[1] / PACKAGE
LONGEST = 400

# Imports go from higher layers to lower ones, and within a part. The emulator stands beside the layers.
LAYERS = {
    "addresses": 0,
    "errors": 0,
    "ids": 0,
    "redact": 0,
    "typed": 0,
    "values": 0,
    "version": 0,
    "config": 0,
    "models": 0,
    "core": 1,
    "runtime": 2,
    "client": 3,
    "partition": 4,
    "__init__": 5,
    "integrations": 6,
    "cli": 6,
}
EMULATOR = "emulator"
STARTS_THE_EMULATOR = ("cli", "integrations")

CORE_MAY_IMPORT = {
    "__future__",
    "bisect",
    "collections",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "keyword",
    "math",
    "msgspec",
    "operator",
    "re",
    "string",
    "struct",
    "textwrap",
    "types",
    "typing",
    "unicodedata",
    "urllib",
    "uuid",
    "zlib",
    PACKAGE,
}
CORE_MAY_IMPORT_OF_OTHERS = {"pathlib.PurePath"}  # a path's text; it never looks at a disk
CORE_MUST_NOT_CALL = {"now", "today", "utcnow", "uuid1", "uuid4", "open", "print", "input", "exec", "eval"}

# Who may import what from PyPI: patterns of modules. A package that is not here is a dependency that nobody decided on.
OUTSIDERS = {
    "aiolimiter": ["runtime.*"],
    "anyio": ["runtime.*"],
    "backports": ["runtime.zstd"],
    "certifi": ["runtime.transport", "runtime.wire.transport"],
    "compression": ["runtime.zstd"],  # of the standard library from Python 3.14 on
    "cyclopts": ["cli.*"],
    "dlt": ["integrations.dlt"],
    "fastapi": ["integrations.fastapi"],
    "faststream": ["integrations.faststream"],
    "httpcore": ["runtime.transport", "runtime.wire.*"],
    "httptools": ["runtime.wire.answer"],
    "httpx": ["runtime.shards", "runtime.transport", "runtime.wire.patched", "runtime.wire.transport"],
    "msgspec": ["*"],
    "opentelemetry": ["integrations.opentelemetry"],
    "pyarrow": ["runtime.arrow"],
    "pyspark": ["integrations.spark"],
    "pytest": ["integrations.pytest_plugin"],
    "ray": ["integrations.ray"],
    "redis": ["integrations.redis"],
    "rich": ["cli.*"],
    "starlette": ["emulator.*"],
    "uvicorn": ["emulator.*"],
}

COMES_WITH = {"certifi": "httpx", "compression": "backports", "httpcore": "httpx", "opentelemetry": "opentelemetry-api"}

NEVER_AT_IMPORT = [
    "aiolimiter",
    "anyio",
    "backports",
    "cyclopts",
    "fastapi",
    "httpcore",
    "httptools",
    "httpx",
    "opentelemetry",
    "pyarrow",
    "pytest",
    "redis",
    "rich",
    "sqlite3",
    "starlette",
    "uvicorn",
]


class Module(NamedTuple):
    """A module of the package: its name below the package (`core.codec`, `cli` for `cli/__init__.py`) and its text."""

    name: str
    text: str

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)


@functools.cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def package_modules() -> list[Module]:
    modules = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 1:
            parts = parts[:-1]
        modules.append(Module(".".join(parts), path.read_text(encoding="utf-8")))
    return modules


def imported(module: Module) -> Iterator[tuple[int, str]]:
    """Every import anywhere in a module, inside functions and under TYPE_CHECKING included, as line and dotted name."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"} and node.args:
            yield node.lineno, _dynamic(node.args[0])


def _dynamic(name: ast.expr) -> str:
    match name:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[ast.FormattedValue(value=ast.Name(id="__name__")), *_]):
            return PACKAGE  # something below the module that asks, which only `__init__` does
        case _:
            return "?"


def own_imports(module: Module) -> Iterator[tuple[int, str]]:
    """Imports of this package: line and part, `__init__` for the package itself."""
    for line, name in imported(module):
        top, _, rest = name.partition(".")
        if top == PACKAGE:
            part = rest.partition(".")[0]
            yield line, part if part in LAYERS or part == EMULATOR else "__init__"


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def imports_go_down(module: Module) -> Iterator[str]:
    if module.part == EMULATOR:
        return
    if module.part not in LAYERS:
        yield f"{module.name} has no layer; give it one in {Path(__file__).name} and in CONTRIBUTING.md"
        return
    own = LAYERS[module.part]
    for line, part in own_imports(module):
        if part == EMULATOR:
            if module.part not in STARTS_THE_EMULATOR:
                yield f"line {line}: only {' and '.join(STARTS_THE_EMULATOR)} start the emulator"
        elif part != module.part and LAYERS[part] >= max(own, 1):
            yield f"line {line}: {module.part} must not import {part}"


def emulator_stands_alone(module: Module) -> Iterator[str]:
    if module.part == EMULATOR:
        for line, part in own_imports(module):
            if part != EMULATOR:
                yield f"line {line}: the emulator shares no code with the rest, and {part} is the rest"


def core_only_decides(module: Module) -> Iterator[str]:
    if module.part != "core":
        return
    for line, name in imported(module):
        if name.partition(".")[0] not in CORE_MAY_IMPORT and name not in CORE_MAY_IMPORT_OF_OTHERS:
            yield f"line {line}: core must not import {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield f"line {node.lineno}: core must not wait"
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield f"line {node.target.lineno}: core must not wait"
        elif isinstance(node, ast.Call) and _called(node) in CORE_MUST_NOT_CALL:
            yield f"line {node.lineno}: core must not call {_called(node)}()"


def outsiders_have_one_place(module: Module) -> Iterator[str]:
    for line, name in imported(module):
        package = name.partition(".")[0]
        if package == PACKAGE or package in sys.stdlib_module_names:
            continue
        if package not in OUTSIDERS:
            yield f"line {line}: {package} is no package that this one may import"
        elif not any(_matches(module.name, pattern) for pattern in OUTSIDERS[package]):
            yield f"line {line}: {package} is imported in {', '.join(OUTSIDERS[package])} only"


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or f"{name}.*" == pattern


def files_are_short(module: Module) -> Iterator[str]:
    lines = module.text.count("\n")
    if lines > LONGEST:
        yield f"{lines} lines, at most {LONGEST}"


def imports_are_absolute(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"line {node.lineno}: relative import"


def nobody_uses_wait_for(module: Module) -> Iterator[str]:
    """`asyncio.wait_for` cancels what it waits for, which loses httpx connections; asyncio.timeout and wait do not."""
    for node in ast.walk(module.tree):
        named = isinstance(node, ast.Attribute) and node.attr == "wait_for"
        if isinstance(node, ast.ImportFrom) and node.module == "asyncio":
            named = any(alias.name == "wait_for" for alias in node.names)
        if named and isinstance(node, ast.Attribute | ast.ImportFrom):
            yield f"line {node.lineno}: wait_for"


def only_commands_print(module: Module) -> Iterator[str]:
    if module.part == "cli":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id in {"print", "pprint"}:
            yield f"line {node.lineno}: {node.id}"


Rule = Callable[[Module], Iterator[str]]

RULES: list[Rule] = [
    imports_go_down,
    emulator_stands_alone,
    core_only_decides,
    outsiders_have_one_place,
    files_are_short,
    imports_are_absolute,
    nobody_uses_wait_for,
    only_commands_print,
]

BREAKERS: list[tuple[Rule, str, str]] = [
    (imports_go_down, "errors", "from dfinery_async.core import codec"),
    (imports_go_down, "core.codec", "from dfinery_async.runtime.tasks import TaskOwner"),
    (imports_go_down, "core.codec", "import dfinery_async.client"),
    (imports_go_down, "runtime.tasks", "def late():\n    from dfinery_async.client import DfineryClient"),
    (imports_go_down, "runtime.tasks", "from dfinery_async import DfineryClient"),
    (imports_go_down, "client", "if TYPE_CHECKING:\n    from dfinery_async.cli import app"),
    (imports_go_down, "client", "from dfinery_async.emulator import Emulator"),
    (imports_go_down, "client", "importlib.import_module('dfinery_async.cli')"),
    (imports_go_down, "client", "importlib.import_module(f'{__name__}.{name}')"),
    (imports_go_down, "integrations.fastapi", "import dfinery_async.cli.app"),
    (imports_go_down, "cli.app", "import dfinery_async.integrations.fastapi"),
    (imports_go_down, "a_new_part", ""),
    (emulator_stands_alone, "emulator.app", "from dfinery_async.core.codec import encode_event"),
    (emulator_stands_alone, "emulator.app", "from dfinery_async import Event"),
    (emulator_stands_alone, "emulator", "if TYPE_CHECKING:\n    import dfinery_async.models"),
    *(
        (core_only_decides, "core.codec", f"import {name}")
        for name in [
            "anyio",
            "asyncio",
            "concurrent.futures",
            "httpx",
            "io",
            "logging",
            "os",
            "pathlib",
            "random",
            "secrets",
            "socket",
            "ssl",
            "threading",
            "time",
        ]
    ),
    (core_only_decides, "core.codec", "from os import urandom"),
    (core_only_decides, "core.codec", "from pathlib import Path"),
    (core_only_decides, "core.codec", "def late():\n    import time"),
    (core_only_decides, "core.codec", "async def wait(): pass"),
    (core_only_decides, "core.codec", "async def wait(): return [x async for x in y]"),
    (core_only_decides, "core.codec", "moment = datetime.now(UTC)"),
    (core_only_decides, "core.codec", "moment = dt.datetime.utcnow()"),
    (core_only_decides, "core.codec", "day = dt.date.today()"),
    (core_only_decides, "core.codec", "new = uuid.uuid4()"),
    (core_only_decides, "core.codec", "file = open('x')"),
    (outsiders_have_one_place, "client", "import httpx"),
    (outsiders_have_one_place, "runtime.sender", "if TYPE_CHECKING:\n    from httpx import Response"),
    (outsiders_have_one_place, "runtime.sender", "def late():\n    import httpcore"),
    (outsiders_have_one_place, "client", "import rich.progress"),
    (outsiders_have_one_place, "runtime.sender", "import cyclopts"),
    (outsiders_have_one_place, "client", "from starlette.applications import Starlette"),
    (outsiders_have_one_place, "client", "import uvicorn"),
    (outsiders_have_one_place, "client", "import pyarrow.csv"),
    (outsiders_have_one_place, "client", "import requests"),
    (outsiders_have_one_place, "client", "importlib.import_module(name)"),
    (files_are_short, "client", "x = 1\n" * (LONGEST + 1)),
    (imports_are_absolute, "client", "from . import errors"),
    (imports_are_absolute, "core.codec", "from ..errors import DfineryError"),
    (nobody_uses_wait_for, "client", "await asyncio.wait_for(work, 1)"),
    (nobody_uses_wait_for, "client", "from asyncio import wait_for"),
    (only_commands_print, "client", "print('here')"),
    (only_commands_print, "core.codec", "show = print"),
]

KEEPERS: list[tuple[Rule, str, str]] = [
    (imports_go_down, "models", "from dfinery_async.errors import DfineryError"),
    (imports_go_down, "core.codec", "from dfinery_async.core.reply import Reply\nimport dfinery_async.errors"),
    (imports_go_down, "cli.demo", "from dfinery_async import Event\nfrom dfinery_async.emulator import Emulator"),
    (imports_go_down, "__init__", "from dfinery_async.client import DfineryClient"),
    (imports_go_down, "__init__", "importlib.import_module(f'{__name__}.{name}')"),
    (emulator_stands_alone, "emulator.app", "import starlette\nfrom dfinery_async.emulator.store import Store"),
    (core_only_decides, "core.codec", "import datetime, re\nmoment = datetime.datetime(2025, 3, 2)"),
    (core_only_decides, "core.codec", "from pathlib import PurePath"),
    (core_only_decides, "runtime.tasks", "import asyncio\nasync def wait(): await asyncio.sleep(0)"),
    (outsiders_have_one_place, "cli", "import cyclopts, asyncio, dfinery_async"),
    (outsiders_have_one_place, "runtime.transport", "import httpx"),
    (files_are_short, "client", "x = 1\n" * LONGEST),
    (imports_are_absolute, "client", "from dfinery_async import errors"),
    (nobody_uses_wait_for, "client", "await asyncio.wait({task})"),
    (only_commands_print, "cli.demo", "print('here')"),
]


def _ids(cases: list[tuple[Rule, str, str]]) -> list[str]:
    return [f"{rule.__name__}-{name}-{text[:40]!r}" for rule, name, text in cases]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    faults = [f"{module.name}: {fault}" for module in package_modules() for fault in rule(module)]

    assert faults == []


@pytest.mark.parametrize(("rule", "name", "text"), BREAKERS, ids=_ids(BREAKERS))
def test_the_rule_finds_a_module_that_breaks_it(rule, name, text):
    assert list(rule(Module(name, text))) != []


@pytest.mark.parametrize(("rule", "name", "text"), KEEPERS, ids=_ids(KEEPERS))
def test_the_rule_lets_a_good_module_pass(rule, name, text):
    assert list(rule(Module(name, text))) == []


def test_every_rule_is_shown_to_fail_and_to_pass():
    assert {rule for rule, *_ in BREAKERS} == set(RULES) == {rule for rule, *_ in KEEPERS}


def test_every_layer_and_every_place_of_an_outsider_is_there():
    modules = package_modules()
    seen = {
        (package, pattern)
        for module in modules
        for _, name in imported(module)
        for package in [name.partition(".")[0]]
        for pattern in OUTSIDERS.get(package, [])
        if _matches(module.name, pattern)
    }

    assert set(LAYERS) <= {module.part for module in modules}
    assert seen == {(package, pattern) for package, patterns in OUTSIDERS.items() for pattern in patterns}


def test_every_outsider_is_declared_or_comes_with_one_that_is():
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^\w-]", line)[0] for line in lines}

    assert {COMES_WITH.get(package, package) for package in OUTSIDERS} - declared == set()


CHILD = """
import json, sys, threading, time
start = time.perf_counter()
import dfinery_async
seconds = time.perf_counter() - start
{more}
print(json.dumps({{"modules": sorted(sys.modules), "threads": threading.active_count(), "ms": seconds * 1000}}))
"""


def _fresh_import(more: str = "") -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(more=more)], capture_output=True, text=True, check=True, cwd=SOURCE.parent
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _heavy(found: dict[str, object]) -> list[str]:
    modules = found["modules"]
    assert isinstance(modules, list)
    return [name for name in NEVER_AT_IMPORT if name in modules]


def test_import_is_light(capsys):
    found = _fresh_import()

    with capsys.disabled():
        print(f" [import dfinery_async: {found['ms']:.0f} ms]", end="")  # noqa: T201 - a figure, never asserted
    assert _heavy(found) == []
    assert found["threads"] == 1


@pytest.mark.parametrize("name", ["httpx", "sqlite3"])
def test_import_check_sees_a_heavy_import(name):
    assert name in _heavy(_fresh_import(f"import {name}"))


def test_import_check_sees_a_thread():
    assert _fresh_import("threading.Thread(target=threading.Event().wait, daemon=True).start()")["threads"] == 2
