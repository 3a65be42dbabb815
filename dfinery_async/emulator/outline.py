"""A body as lines of text for the page, with those at fault marked.

The page gets text rather than JSON, since a browser would round a Long and knows no NaN.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dfinery_async.emulator.shapes import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dfinery_async.emulator.validate import Problem

# Of a body that is longer, the page shows the beginning.
MAX_LINES: Final = 2000
_MAX_TEXT: Final = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a body.

    Attributes:
        depth: how far it is indented.
        text: the text; a name, a value or a bracket.
        path: the path of the value that begins here, as in `Problem.field`; None where one ends.
    """

    depth: int
    text: str
    path: str | None


def lines_of(value: Any, path: str = "") -> list[Line]:
    """A JSON value as indented lines, at most MAX_LINES."""
    lines = list(islice(_lines(value, path, "", 0, ""), MAX_LINES + 1))
    return [*lines[:MAX_LINES], Line(0, "…", None)] if len(lines) > MAX_LINES else lines


def text_of(value: Any) -> str:
    """A JSON value on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=not _is_text(value))
    return f"{text[:_MAX_TEXT]}…" if len(text) > _MAX_TEXT else text


def marked(lines: Sequence[Line], problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """The lines for the page; each problem marks its field, or what should hold it."""
    paths = {line.path for line in lines}
    places = {_nearest(problem.field, paths) for problem in problems}
    return [
        {"depth": line.depth, "text": line.text, "wrong": line.path is not None and line.path in places}
        for line in lines
    ]


def sent(body: Any, problem: Problem) -> str | None:
    """The value that a problem is about, on one line; None when there is none in the body."""
    for path, value in _values(body, ""):
        if path == problem.field:
            return text_of(value)
    return None


def _lines(value: Any, path: str, name: str, depth: int, comma: str) -> Iterator[Line]:
    if not value or not isinstance(value, dict | list):
        yield Line(depth, f"{name}{text_of(value)}{comma}", path)
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield Line(depth, f"{name}{opening}", path)
    below = list(_below(value, path))
    for place, (inner_path, key, inner) in enumerate(below, 1):
        label = "" if key is None else f"{text_of(key)}: "
        yield from _lines(inner, inner_path, label, depth + 1, "," if place < len(below) else "")
    yield Line(depth, f"{closing}{comma}", None)


def _below(value: Any, path: str) -> Iterator[tuple[str, str | None, Any]]:
    """What an object or array holds: path, name and value."""
    if is_object(value):
        for name, inner in value.items():
            yield f"{path}.{name}".lstrip("."), name, inner
    elif is_array(value):
        for place, inner in enumerate(value):
            yield f"{path}[{place}]", None, inner


def _values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    for inner_path, _, inner in _below(value, path):
        yield from _values(inner, inner_path)


def _nearest(path: str, paths: set[str | None]) -> str:
    """The path itself, or the innermost one around it that is there."""
    while path and path not in paths:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return path


def _is_text(value: Any) -> bool:
    """Whether a text can be written as it is: a lone surrogate has to be escaped."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True
