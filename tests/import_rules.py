"""The rules of the house (CONTRIBUTING.md): each is a function from a module of the package to its faults."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

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
        elif not any(matches(module.name, pattern) for pattern in OUTSIDERS[package]):
            yield f"line {line}: {package} is imported in {', '.join(OUTSIDERS[package])} only"


def matches(name: str, pattern: str) -> bool:
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
