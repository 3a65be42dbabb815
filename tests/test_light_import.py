"""`import dfinery_async` is light: no heavy module comes along, and no thread is started."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from import_rules import SOURCE

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
