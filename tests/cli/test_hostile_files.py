"""Hostile files: endless lines, open quotes, bombs, texts that no table should hold. None bloats or ends badly."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import zlib

import pytest
from cli_kit import ROOT, event_line


def peak_of(arguments, data):
    """Run `plan` on standard input; its exit code, errors, and peak of memory in MiB, with what it has at the least."""
    code = (
        "import resource, sys\n"
        "from dfinery_async.cli.app import run\n"
        f"code = run({arguments!r})\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)\n"
        "sys.exit(int(code))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    try:
        for piece in data:
            process.stdin.write(piece)
    except BrokenPipeError:
        pass
    output, errors = process.communicate(timeout=50)
    *lines, peak = errors.decode().splitlines()
    return process.returncode, output, "\n".join(lines), int(peak)


def bomb(size):
    """What a gzip of blanks is, made without holding it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    for _ in range(size // 1_000_000):
        if piece := packer.compress(b" " * 1_000_000):
            yield piece
    yield packer.flush()


LINE = event_line(1)
OPEN_QUOTE = [b"identity.external_id,event_name,event_datetime\n", b'"', *[b"y" * 999 + b"\n"] * 99_999]


@pytest.mark.parametrize(
    ("arguments", "data", "code", "message"),
    [
        (["plan", "-"], [LINE, *[b"x" * 1_000_000] * 300, b"\n", LINE], 1, "input:2: is longer than 8,388,608 bytes"),
        (["plan", "-", "--format", "csv"], OPEN_QUOTE, 1, "more bad lines"),
        (["plan", "-"], bomb(400_000_000), 2, "as a bomb does"),
    ],
    ids=["long line", "open quote", "bomb"],
)  # fmt: skip
def test_hostile_input_never_bloats(arguments, data, code, message):
    resting = peak_of(["plan", "-"], [LINE])[3]
    found = peak_of(arguments, data)

    assert found[0] == code
    assert message in found[2]
    assert found[3] - resting < 64
    assert resource.getpagesize()  # the figures are those of the operating system


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE[:-2] + b"\0}\n", "holds a NUL byte"),
        ("{'a': 1}\n".encode("utf-16"), "UTF-16"),
        (b'{"event_properties":{"a":' + b"[" * 100_000 + b"\n", "nested too deeply"),
        (b'{"event_name":"\xff"}\n', "not valid UTF-8"),
    ],
)
def test_hostile_lines_are_named(dfinery, emulator, tmp_path, line, message):
    (tmp_path / "e.jsonl").write_bytes(line + LINE)
    code, _, errors = dfinery("load", "events", tmp_path / "e.jsonl")
    assert code in {1, 2}
    assert message in errors


def test_separators_of_unicode_and_long_cells_are_cells(dfinery, emulator, tmp_path):
    text = "a\u2028b\u0085c" + "x" * 200_000
    buffer = io.StringIO()
    buffer.write("identity.external_id,event_name,event_datetime,event_properties.note\n")
    buffer.write(f'u1,df_login,2025-03-02T04:11:09Z,"{text}"\n')
    (tmp_path / "e.csv").write_text(buffer.getvalue())
    (tmp_path / "e.jsonl").write_bytes(event_line(1, event_properties={"note": text}))
    assert dfinery("load", "events", tmp_path / "e.csv", tmp_path / "e.jsonl")[0] == 0
    assert [event["event_properties"]["note"] for event in emulator.events] == [text, text]
