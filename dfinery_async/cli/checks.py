"""The lines of `dfinery doctor`, and the exit code that they come to."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from dfinery_async.cli.exits import Exit
from dfinery_async.cli.output import print_json, show

__all__ = ["Checks"]

_Result: TypeAlias = Literal["ok", "warning", "failed", "not checked"]

_SIGNS: Final[dict[_Result, str]] = {"ok": "+", "warning": "!", "failed": "x", "not checked": "-"}


class Checks:
    """Results, each shown as soon as it is known.

    Args:
        as_json: keep them for one object at the end instead.

    Attributes:
        exit: what they come to: the first failure's code, else 1 where there was a warning.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.exit: Exit = Exit.OK
        self._as_json = as_json
        self._lines: list[dict[str, str]] = []

    def ok(self, name: str, detail: str) -> None:
        """Note what is well."""
        self._add("ok", name, detail)

    def skip(self, name: str, detail: str) -> None:
        """Note what nobody looked at, or what nothing was proven of, and why."""
        self._add("not checked", name, detail)

    def warn(self, name: str, detail: str, remedy: str) -> None:
        """Note what may do harm."""
        self._add("warning", name, detail, remedy)
        if self.exit is Exit.OK:
            self.exit = Exit.INCOMPLETE

    def fail(self, name: str, detail: str, remedy: str, code: Exit) -> None:
        """Note what keeps everything else from working."""
        self._add("failed", name, detail, remedy)
        if self.exit in {Exit.OK, Exit.INCOMPLETE}:
            self.exit = code

    def finish(self, figures: dict[str, Any]) -> None:
        """Print the one object, where that was asked for."""
        if self._as_json:
            print_json({"checks": self._lines, **figures})

    def _add(self, result: _Result, name: str, detail: str, remedy: str = "") -> None:
        self._lines.append({"name": name, "result": result, "detail": detail, "remedy": remedy})
        if self._as_json:
            return
        text = f"{detail}; {remedy}" if remedy else detail
        show(text, f"{_SIGNS[result]} {result:<11}  {name:<12}  ")
