"""Every code block of README.md and docs/ runs, as it stands, against a running emulator.

A comment in front of a block says what it is:

    <!-- file: NAME -->        the block is a file that later commands of the same document read
    <!-- command: NAME -->     one line for a shell, run by .ci/run and not here
    <!-- not run: REASON -->   all that can't run here

Each Python block stands for itself: it is run as a script, and its `main` is called where the block only defines it.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dfinery_async.emulator import Emulator

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w{}-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"<!-- (?P<kind>file|command|not run): (?P<value>[^\n]+?) -->\s*\Z")
SHELLS = {"bash", "console", "sh", "shell"}
TIME_TO_RUN = 50.0


class Block(NamedTuple):
    """A fenced block: where it begins, its language, its text, and the mark in front of it."""

    where: str
    language: str
    text: str
    mark: str
    value: str


def blocks_of(document: str, name: str) -> list[Block]:
    blocks = []
    for found in FENCE.finditer(document):
        mark = MARK.search(document[: found.start()])
        line = document.count("\n", 0, found.start()) + 1
        text = "".join(part.removeprefix(found["indent"]) for part in found["text"].splitlines(keepends=True))
        kind, value = (mark["kind"], mark["value"]) if mark else ("", "")
        blocks.append(Block(f"{name}:{line}", found["language"], text, kind, value))
    return blocks


def all_blocks() -> list[Block]:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in DOCUMENTS if path.exists()}
    return [block for name, text in texts.items() for block in blocks_of(text, name)]


def commands_of(block: Block) -> list[str]:
    """Return the commands of a shell block: in a console session the lines after `$ `, otherwise all lines."""
    text = block.text.replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    return prompted if block.language == "console" else lines


def kind_of(block: Block) -> str:
    """Say what becomes of a block: `file`, `command`, `not run`, `python`, `shell`, or `unknown`, which is a fault.

    A `text` is no code, and a `directive` is the site's own: it shows what stands elsewhere.
    """
    if block.mark:
        return block.mark
    if block.language == "text":
        return "text"
    if block.language.startswith("{"):
        return "directive"
    if block.language == "python":
        return "python"
    if block.language in SHELLS:
        commands = commands_of(block)
        if commands and all(command.split()[0] in {"dfinery", "pytest", "python"} for command in commands):
            return "shell"
    return "unknown"


BLOCKS = all_blocks()


@pytest.fixture
def emulator_env() -> Iterator[dict[str, str]]:
    """Run an emulator in a thread of its own; gives the environment that points at it."""
    started: threading.Event = threading.Event()
    found: dict[str, str] = {}
    failures: list[BaseException] = []
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async with Emulator() as emulator:
            for name in ("base_url", "service_id", "import_token", "export_token"):
                found[f"DFINERY_{name.upper()}"] = getattr(emulator, name)
            end = asyncio.Event()
            ends.append((asyncio.get_running_loop(), end))
            started.set()
            await end.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)
            started.set()

    thread = threading.Thread(target=run, name="emulator")
    thread.start()
    started.wait()
    if not failures:
        yield found
        loop, end = ends[0]
        loop.call_soon_threadsafe(end.set)
    thread.join()
    assert failures == []


def _environment(emulator_env: dict[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, **emulator_env, "PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb"}


def _run(command: list[str], folder: Path, environment: dict[str, str], where: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIME_TO_RUN, check=False
    )
    assert done.returncode == 0, f"{where}: {shlex.join(command)}\n{done.stdout}\n{done.stderr}"


def script_of(block: Block) -> str:
    """Return a block as a script, with a call of `main` where the block only defines it."""
    tree = ast.parse(block.text)
    mains = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == "main"]
    used = any(isinstance(node, ast.Name) and node.id == "main" for node in ast.walk(tree))
    if mains and not used:
        return f"{block.text}\nimport asyncio\nasyncio.run(main())\n"
    return block.text


def files_before(block: Block) -> list[Block]:
    document = block.where.partition(":")[0]
    earlier = BLOCKS[: BLOCKS.index(block)]
    return [other for other in earlier if other.mark == "file" and other.where.startswith(f"{document}:")]


def _write_files(block: Block, folder: Path) -> None:
    for other in files_before(block):
        path = folder / other.value
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(other.text, encoding="utf-8")


def _of_kind(kind: str) -> list[object]:
    return [pytest.param(block, id=block.where) for block in BLOCKS if kind_of(block) == kind]


@pytest.mark.parametrize("block", _of_kind("python"))
def test_python_block_runs(block, emulator_env, tmp_path):
    _write_files(block, tmp_path)
    (tmp_path / "block.py").write_text(script_of(block), encoding="utf-8")

    _run([sys.executable, "-W", "error", "block.py"], tmp_path, _environment(emulator_env), block.where)


@pytest.mark.parametrize("block", _of_kind("shell"))
def test_commands_run(block, emulator_env, tmp_path):
    _write_files(block, tmp_path)

    for command in commands_of(block):
        _run(["bash", "-euo", "pipefail", "-c", command], tmp_path, _environment(emulator_env), block.where)


def test_no_block_is_passed_over():
    assert [block.where for block in BLOCKS if kind_of(block) == "unknown"] == []


def test_readme_shows_python_and_commands():
    kinds = {kind_of(block) for block in BLOCKS if block.where.startswith("README.md:")}

    assert {"python", "command"} <= kinds


def test_a_service_with_a_test_that_asserts_on_delivered_events_needs_few_lines():
    files = [block.text for block in BLOCKS if block.where.startswith("docs/fastapi.md:") and block.mark == "file"]
    lines = [line for text in files for line in text.splitlines() if line.strip()]

    assert len(files) == 2
    assert 10 < len(lines) < 25, len(lines)


def test_the_two_commands_are_single_lines():
    commands = {block.value: block.text for block in BLOCKS if block.mark == "command"}

    assert set(commands) == {"demo", "test"}
    assert [name for name, text in commands.items() if text.count("\n") != 1 or not text.strip()] == []


SAMPLE = """
<!-- file: events.jsonl -->
```json
{"a": 1}
```

1. A list:

   ```python
   async def main() -> None: ...
   ```

```console
$ dfinery load \\
    events.jsonl
1 accepted
```

<!-- not run: needs a broker -->
```python
broken(
```

<!-- command: demo -->
```bash
pipx run dfinery demo
```

```bash
curl https://example.com
```

```text
1 accepted
```

```{toctree}
page
```
"""


def test_the_reader_of_documents_sees_every_kind():
    blocks = blocks_of(SAMPLE, "sample.md")

    assert [kind_of(block) for block in blocks] == [
        "file",
        "python",
        "shell",
        "not run",
        "command",
        "unknown",
        "text",
        "directive",
    ]
    assert script_of(blocks[1]).endswith("asyncio.run(main())\n")
    assert [shlex.split(command) for command in commands_of(blocks[2])] == [["dfinery", "load", "events.jsonl"]]


def test_a_block_that_fails_is_seen(tmp_path):
    with pytest.raises(AssertionError, match=r"(?s)sample\.md:1: .*ZeroDivisionError"):
        _run([sys.executable, "-c", "1 / 0"], tmp_path, {**os.environ}, "sample.md:1")
