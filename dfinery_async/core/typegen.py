"""Python code of typed events: the same taxonomy gives the same text, formatted as ruff and black do."""

from __future__ import annotations

import keyword
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator

from dfinery_async.core.taxonomy import DataType, EventType, Property, Taxonomy
from dfinery_async.typed import TypedEvent, TypedItem, TypedProfile
from dfinery_async.values import ITEMS

__all__ = ["typed_module"]

_WIDTH = 88
_TYPES = {
    DataType.STRING: "str",
    DataType.LONG: "int",
    DataType.DOUBLE: "float",
    DataType.BOOLEAN: "bool",
    DataType.DATETIME: "dt.datetime",
    DataType.DATE: "dt.date",
    DataType.STRINGS: "Sequence[str]",
    DataType.LONGS: "Sequence[int]",
    DataType.DOUBLES: "Sequence[float]",
}
_ITEM, _PROFILE = "Item", "UserProperties"
# Names that the module uses itself, and that no class or field may hide.
_TAKEN = frozenset(
    {"Any", "ClassVar", "Literal", "Sequence", "TypeAlias", "TypedEvent", "TypedItem", "TypedProfile", "UNSET"}
    | {"UnsetType", "annotations", "bool", "dt", "field", "float", "int", "str", _ITEM, _PROFILE}
)


def typed_module(taxonomy: Taxonomy, source: str) -> str:
    """Write a module with a class for each event, one for items and one for user properties.

    Events that the SDKs make on their own have none.

    Args:
        taxonomy: what is registered.
        source: what the taxonomy is called, for whoever reads the module.
    """
    taken = set(_TAKEN)
    events = {name: _class_name(name, taken) for name, each in taxonomy.events.items() if not each.system}
    aliases = _Aliases(taken)
    classes = [
        _item(taxonomy, aliases),
        *(_event(taxonomy, taxonomy.events[name], title, aliases) for name, title in events.items()),
        _profile(taxonomy, aliases),
    ]
    body = "\n\n\n".join("\n".join(lines).rstrip() for lines in classes)
    names = sorted([*events.values(), _ITEM, _PROFILE, *aliases.names])
    return "\n".join([*_head(source, body, aliases), *_all(names), *aliases.lines(), "", "", body, ""])


class _Aliases:
    """A name for each set of values that a property may hold."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._names: dict[tuple[str, ...], str] = {}

    @property
    def names(self) -> list[str]:
        return list(self._names.values())

    def name(self, each: Property) -> str:
        if each.values not in self._names:
            self._names[each.values] = _class_name(each.name, self._taken)
        return self._names[each.values]

    def lines(self) -> Iterator[str]:
        for values, name in self._names.items():
            texts = [_quoted(value) for value in values]
            yield ""
            yield from _bracketed(f"{name}: TypeAlias = Literal[", texts, "]")


def _head(source: str, body: str, aliases: _Aliases) -> Iterator[str]:
    yield '"""' + _docstring(f"Typed events of the taxonomy {source}.")
    yield ""
    yield "Made by `dfinery typegen`: change the taxonomy and make it again."
    yield '"""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    if "dt.date" in body:
        yield "import datetime as dt"
    if "Sequence[" in body:
        yield "from collections.abc import Sequence"
    typing = {
        "Any": ": Any" in body,
        "ClassVar": "ClassVar[" in body,
        "Literal": aliases.names,
        "TypeAlias": aliases.names,
    }
    if names := [name for name, used in typing.items() if used]:
        yield f"from typing import {', '.join(names)}"
        yield ""
    bases = {"TypedEvent": "(TypedEvent," in body, "TypedItem": True, "TypedProfile": True}
    yield f"from dfinery_async import {', '.join(name for name, used in bases.items() if used)}"
    special = {"UNSET": "UNSET" in body, "UnsetType": "UnsetType" in body, "field": " field(" in body}
    if names := [name for name, used in special.items() if used]:
        yield f"from msgspec import {', '.join(names)}"
    yield ""


def _all(names: Iterable[str]) -> Iterator[str]:
    yield from _bracketed("__all__ = [", [_quoted(name) for name in names], "]")


def _item(taxonomy: Taxonomy, aliases: _Aliases) -> Iterator[str]:
    yield from _class(_ITEM, TypedItem, "Product of an event.")
    fields = [(each, each.required) for each in taxonomy.item_properties.values()]
    yield from _fields(fields, TypedItem, aliases)


def _event(taxonomy: Taxonomy, event: EventType, title: str, aliases: _Aliases) -> Iterator[str]:
    notes: list[str] = []
    if by_sdks := [name for name in event.required_by_sdks if name not in event.required]:
        notes.append(f"The vendor's SDKs ask for {', '.join(by_sdks)}.")
    yield from _class(title, TypedEvent, event.description or f"The event {event.name}.", *notes)
    yield f"    event_name: ClassVar[str] = {_quoted(event.name)}"
    yield ""
    fields = [(taxonomy.event_properties[name], name in event.required) for name in event.properties]
    if event.items:
        must = ITEMS in event.required
        kind = f"Sequence[{_ITEM}]" + ("" if must else " | None")
        yield from _field("items", ITEMS, kind, "" if must else "None")
        yield from _quoted_docstring("products of the event, at most 100")
    yield from _fields(fields, TypedEvent, aliases, {"items"} if event.items else set())


def _profile(taxonomy: Taxonomy, aliases: _Aliases) -> Iterator[str]:
    yield from _class(_PROFILE, TypedProfile, "Properties of a user.")
    fields = [(each, False) for each in taxonomy.user_properties.values()]
    yield from _fields(fields, TypedProfile, aliases, unset=True)


def _class(title: str, base: type, *paragraphs: str) -> Iterator[str]:
    yield from _wrapped_call(f"class {title}(", [base.__name__, "frozen=True", "kw_only=True"], "):")
    yield from _quoted_docstring(*paragraphs)
    yield ""


def _fields(
    fields: Iterable[tuple[Property, bool]],
    base: type,
    aliases: _Aliases,
    used: Iterable[str] = (),
    *,
    unset: bool = False,
) -> Iterator[str]:
    taken = {*_TAKEN, *dir(base), *used}
    for each, required in fields:
        kind = aliases.name(each) if each.values else _TYPES[each.type] if each.type else "Any"
        if not required and kind != "Any":
            kind = f"{kind} | UnsetType | None" if unset else f"{kind} | None"
        taken.update(aliases.names)
        yield from _field(
            _field_name(each.name, taken), each.name, kind, "" if required else "UNSET" if unset else "None"
        )
        if each.description:
            yield from _quoted_docstring(each.description)


def _field(name: str, sent: str, kind: str, default: str) -> Iterator[str]:
    head = f"    {name}: {kind}"
    value = f" = {default}" if default else ""
    arguments = [f"default={default}"] if default else []
    if name != sent:
        arguments.append(f"name={_quoted(sent)}")
        value = " = field("
    if len(head) + len(value) > _WIDTH:
        yield f"    {name}: ("
        yield f"        {kind}"
        head = "    )"
    if name == sent:
        yield head + value
    else:
        yield from _wrapped_call(head + value, arguments, ")")


def _wrapped_call(head: str, arguments: list[str], tail: str) -> Iterator[str]:
    """Write a call on one line where it fits, else with its arguments on a line of their own."""
    indent = " " * (len(head) - len(head.lstrip()))
    joined = ", ".join(arguments)
    if len(head) + len(joined) + len(tail) <= _WIDTH:
        yield f"{head}{joined}{tail}"
        return
    yield head
    yield f"{indent}    {joined}"
    yield f"{indent}{tail}"


def _bracketed(head: str, elements: list[str], tail: str) -> Iterator[str]:
    """Write a list on one line where it fits, else with an element on each."""
    joined = ", ".join(elements)
    if len(head) + len(joined) + len(tail) <= _WIDTH:
        yield f"{head}{joined}{tail}"
        return
    yield head
    yield from (f"    {element}," for element in elements)
    yield tail


def _class_name(name: str, taken: set[str]) -> str:
    words = re.findall(r"\w+", name.replace("_", " "))
    return _free("".join(f"{word[:1].upper()}{word[1:]}" for word in words), "Event", taken)


def _field_name(name: str, taken: set[str]) -> str:
    return _free(re.sub(r"\W", "_", name), "property_", taken)


def _free(name: str, prefix: str, taken: set[str]) -> str:
    """Make a public identifier of a name that no other has."""
    name = unicodedata.normalize("NFKC", name)  # as Python reads identifiers
    if not name.isidentifier() or name.startswith("_"):
        name = f"{prefix}{re.sub(r'^_+', '', re.sub(r'[^A-Za-z0-9_]', '_', name))}"
    while name in taken or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        name += "_"
    taken.add(name)
    return name


def _quoted_docstring(*paragraphs: str) -> Iterator[str]:
    first, *rest = [_sentence(_docstring(paragraph)) for paragraph in paragraphs]
    if not rest and len(first) + 10 <= _WIDTH:
        yield f'    """{first}"""'
        return
    lines = textwrap.wrap(first, _WIDTH - 7, break_long_words=False, break_on_hyphens=False)
    yield f'    """{lines[0]}'
    yield from (f"    {line}" for line in lines[1:])
    for paragraph in rest:
        yield ""
        yield from (
            f"    {line}"
            for line in textwrap.wrap(paragraph, _WIDTH - 4, break_long_words=False, break_on_hyphens=False)
        )
    yield '    """'


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _docstring(text: str) -> str:
    """Make a text safe within a docstring."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return printable.replace("\\", "\\\\").replace('"', "'")


def _quoted(text: str) -> str:
    quote = "'" if '"' in text and "'" not in text else '"'
    return f"{quote}{''.join(_escaped(each, quote) for each in text)}{quote}"


def _escaped(each: str, quote: str) -> str:
    if each in {"\\", quote}:
        return f"\\{each}"
    return each if each.isprintable() else each.encode("unicode_escape").decode()
