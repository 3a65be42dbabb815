"""What commands print for people is as wide as the terminal, and one line each where there is none."""

from __future__ import annotations

import io
import sys

import pytest
from cli_kit import event_line, on_a_terminal

from dfinery_async.cli import output
from dfinery_async.runtime.spool.slots import claim


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, so that no long name stands in a line."""
    (tmp_path / "e.jsonl").write_bytes(
        b"".join(map(event_line, range(300))) + event_line(1, event_datetime="x") + b"not JSON\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(lines):
    return " ".join(lines).split()


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "e.jsonl", "--limit-rate", "600/1m"),
        ("load", "events", "e.jsonl", "--resume"),
        ("export", "events", "--from", "2025-01-01", "--to", "2025-01-01"),
        ("spool", "status", "spool"),
        ("spool", "drop", "spool", "--yes"),
        ("emulate", "--state", "/nowhere/else", "--port", "100000"),
    ],
    ids=" ".join,
)
def test_lines_are_folded_between_words_at_the_width_of_the_terminal(dfinery, emulator, folder, arguments):
    slot = claim(folder / "spool")
    try:
        code, output, errors = dfinery(*arguments)
        whole = (output + errors).splitlines()
        env = {**emulator.environment, "TERM": "dumb"}  # no progress
        narrow = on_a_terminal(60, env, *arguments, results=True)
        wide = on_a_terminal(200, env, *arguments, results=True)
    finally:
        slot.release()
    assert max(map(len, whole)) > 60
    assert max(map(len, narrow[1])) <= 60
    assert (narrow[0], wide[0]) == (code, code)
    assert [line for line in wide[1] if line.rstrip()] == sorted(whole, key=wide[1].index)
    assert sorted(words(narrow[1])) == sorted(words(whole))


def test_a_loads_report_is_folded_below_its_notes(emulator, folder):
    code, lines = on_a_terminal(60, emulator.environment, "load", "events", "e.jsonl", results=True)
    text = "\n".join(line.rstrip() for line in lines)
    assert code == 1
    assert "7  42.9 events each; 0 repeated, 0\n\n                        throttled\n" in text
    assert "dfinery: e.jsonl:301: event_datetime: must be a datetime\n" in text
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("columns", [20, 60, 140])
def test_doctor_uses_the_width_of_the_terminal(emulator, columns):
    _, lines = on_a_terminal(columns, emulator.environment, "doctor", results=True)

    assert max(40, columns) - 20 < max(map(len, lines)) <= max(40, columns)


def test_where_there_is_no_terminal_its_width_does_not_count(dfinery, emulator, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    for arguments in (["plan", "e.jsonl"], ["doctor"]):
        _, output, errors = dfinery(*arguments)
        assert max(map(len, output.splitlines())) > 50
        assert not [line for line in (output + errors).splitlines() if line.startswith(" ")]


class Terminal(io.StringIO):
    """A terminal whose width only the environment tells."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("columns", "text", "drawn"),
    [
        ("40", "a" * 30 + " " + "b" * 9, "a" * 30 + " " + "b" * 9),
        ("40", "a" * 30 + " " + "b" * 10, "a" * 30 + "\n" + "b" * 10),
        ("40", "see " + "/x" * 30 + " there", "see\n" + "/x" * 30 + "\nthere"),
        ("40", "구매 " * 9, ("구매 " * 8).rstrip() + "\n구매"),
        ("12", "a" * 30 + " " + "b" * 9, "a" * 30 + " " + "b" * 9),
        ("", "a" * 60 + " " + "b" * 20, "a" * 60 + "\n" + "b" * 20),
        ("-3", "a" * 60 + " " + "b" * 20, "a" * 60 + "\n" + "b" * 20),
        ("40", "one\n  two", "one\n  two"),
    ],
)
def test_a_message_is_folded_as_wide_as_it_is_drawn(monkeypatch, columns, text, drawn):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    output.say(text)
    assert terminal.getvalue() == drawn + "\n"
