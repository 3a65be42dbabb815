"""Files of taxonomies: JSON, and YAML where PyYAML is installed."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
from importlib import resources

import msgspec

from dfinery_async.core.taxonomy import Taxonomy, read_content
from dfinery_async.errors import ConfigError
from dfinery_async.runtime.files import read_settings_file

__all__ = ["read_taxonomy", "standard_taxonomy", "taxonomy_of"]

_LARGEST = 16 * 1024 * 1024  # bytes
_YAML = (".yaml", ".yml")


@functools.cache
def standard_taxonomy() -> Taxonomy:
    """Return the events and properties that every service has."""
    text = (resources.files("dfinery_async") / "_data" / "taxonomy.json").read_bytes()
    return read_content(msgspec.json.decode(text))


def read_taxonomy(path: str | os.PathLike[str] | None = None, *, standard: bool = True) -> Taxonomy:
    """Read what is registered with a service from a file, once, and at once: call it when the service starts.

    Args:
        path: a file of at most 16 MiB: YAML where its name ends with `.yaml` or `.yml`, which needs the extra `yaml`,
            JSON otherwise. `None` is no file: the standard events and properties alone.
        standard: whether these are registered, too. What the file says of one of their names wins.

    Raises:
        ConfigError: the file can't be read, or is no taxonomy; the message says where.
    """
    if path is None:
        return standard_taxonomy()
    base = standard_taxonomy() if standard else None
    name = os.fspath(path)
    text = read_settings_file(name, "the taxonomy", _LARGEST)
    return read_content(_decode(text, name), base)


def taxonomy_of(given: Taxonomy | None) -> Taxonomy:
    """Return a taxonomy that a caller gave, by default the standard one.

    Raises:
        ConfigError: it is none.
    """
    if given is None:
        return standard_taxonomy()
    if not isinstance(given, Taxonomy):
        raise ConfigError(f"taxonomy must be what read_taxonomy() returns, not {type(given).__name__}")
    return given


def _decode(text: bytes, name: str) -> object:
    if name.lower().endswith(_YAML):
        if importlib.util.find_spec("yaml") is None:
            raise ConfigError("a taxonomy in YAML needs PyYAML: pip install 'dfinery-async[yaml]', or write it in JSON")
        try:
            return msgspec.yaml.decode(text)
        except msgspec.DecodeError as error:
            raise ConfigError(f"the taxonomy is no YAML: {error}") from None
    try:
        return json.loads(text)  # not msgspec, as this one tells line and column
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the taxonomy is no JSON: {error}") from None
