"""The rules of the house (tests/import_rules.py), checked on the source of every module.

Each rule is also fed modules that break it, since a check that cannot fail is a defect.
"""

from __future__ import annotations

import itertools
import re
import tomllib

import pytest
from import_rules import (
    COMES_WITH,
    LAYERS,
    LONGEST,
    OUTSIDERS,
    RULES,
    SOURCE,
    Module,
    Rule,
    core_only_decides,
    emulator_stands_alone,
    files_are_short,
    imported,
    imports_are_absolute,
    imports_go_down,
    matches,
    nobody_uses_wait_for,
    only_commands_print,
    outsiders_have_one_place,
    package_modules,
)

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
        if matches(module.name, pattern)
    }

    assert set(LAYERS) <= {module.part for module in modules}
    assert seen == {(package, pattern) for package, patterns in OUTSIDERS.items() for pattern in patterns}


def test_every_outsider_is_declared_or_comes_with_one_that_is():
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^\w-]", line)[0] for line in lines}

    assert {COMES_WITH.get(package, package) for package in OUTSIDERS} - declared == set()
