"""Files of taxonomies as `read_taxonomy` takes them."""

from __future__ import annotations

import importlib.util
import json

import pytest

from dfinery_async import ConfigError, read_taxonomy

CONTENT = {
    "events": [{"name": "shop_rated", "properties": ["shop_stars"]}],
    "event_properties": [{"name": "shop_stars", "type": "Long"}],
}
YAML = """
events:
  - name: shop_rated
    properties: [shop_stars]
event_properties:
  - {name: shop_stars, type: Long}
"""


def test_without_a_file_there_is_what_is_standard():
    assert "df_login" in read_taxonomy().events
    assert read_taxonomy() is read_taxonomy()


def test_json_and_yaml_say_the_same(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(CONTENT), encoding="utf-8")
    (tmp_path / "t.YAML").write_text(YAML, encoding="utf-8")

    taxonomy = read_taxonomy(tmp_path / "t.json")
    assert taxonomy == read_taxonomy(str(tmp_path / "t.YAML"))
    assert taxonomy.events["shop_rated"].properties == ("shop_stars",)
    assert "df_login" in taxonomy.events


def test_what_is_standard_can_be_left_out(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(CONTENT), encoding="utf-8")

    assert set(read_taxonomy(tmp_path / "t.json", standard=False).events) == {"shop_rated"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.json", "{", "the taxonomy is no JSON: .*line 1 column 2"),
        ("t.json", "[" * 100_000, "the taxonomy is no JSON"),
        ("t.json", "\x80", "the taxonomy is no JSON"),
        ("t.json", " " * (16 * 1024 * 1024 + 1), "more than 16,777,216 bytes"),
        ("t.yaml", "events: [", "the taxonomy is no YAML"),
        ("t.yml", "events: [yes]", r"Expected `str \| object`, got `bool` - at `\$.events\[0\]`"),
        ("t.yml", "!!python/object/apply:os.system [ls]", "the taxonomy is no YAML"),
    ],
    ids=range(7),
)
def test_a_file_that_is_none_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="latin-1")

    with pytest.raises(ConfigError, match=message):
        read_taxonomy(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"can't be read: no such file or directory: '.*none\.json'"):
        read_taxonomy(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="no file's name"):
        read_taxonomy("\0")


def test_yaml_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "t.yaml").write_text(YAML, encoding="utf-8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"pip install 'dfinery-async\[yaml\]'"):
        read_taxonomy(tmp_path / "t.yaml")
