from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from dfinery_async.core.fields import HeaderError, field_names, read_header
from dfinery_async.core.mapping import TableMapping, mapping_of
from dfinery_async.core.records import LineError, check_registered
from dfinery_async.core.taxonomy import read_content
from dfinery_async.errors import ConfigError

TAXONOMY = read_content(
    {
        "events": ["shop_opened"],
        "event_properties": [
            {"name": "df_total_purchase_amount", "type": "Double"},
            {"name": "flag", "type": "Boolean"},
            {"name": "tags", "type": "Array of String"},
            {"name": "counts", "type": "Array of Long"},
            {"name": "when", "type": "Datetime"},
            {"name": "loose"},
            {"name": "n", "type": "Long"},
        ],
        "item_properties": [{"name": "df_quantity", "type": "Long"}],
        "user_properties": [{"name": "df_name", "type": "String"}],
    }
)
SEOUL = ZoneInfo("Asia/Seoul")
MOMENT = dt.datetime(2025, 3, 2, 4, 11, tzinfo=dt.UTC)


def event(cells, titles, **mapping):
    base = {"identity.external_id": "u1", "event_name": "df_login", "event_datetime": MOMENT}
    names = [*titles, *(name for name in base if name not in {*titles, *mapping.get("columns", {}).values()})]
    values = [*cells, *(base[name] for name in names[len(titles) :])]
    table = read_header(names, "events", TAXONOMY, TableMapping(**mapping) if mapping else None)
    return table.record(1, values).event


def prop(cell, name="loose", **mapping):
    made = event([cell], [f"event_properties.{name}"], **mapping)
    return None if made.properties is None else made.properties[name]


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("df_total_purchase_amount", "12.50", 12.5),
        ("df_total_purchase_amount", 12, 12),
        ("df_total_purchase_amount", Decimal("1.5"), 1.5),
        ("flag", "TRUE", True),
        ("tags", '["a"]', ["a"]),
        ("tags", ["a", "b"], ["a", "b"]),
        ("counts", "[1,2]", [1, 2]),
        ("loose", "007", "007"),
        ("loose", dt.date(2025, 3, 2), "2025-03-02"),
        ("when", MOMENT, "2025-03-02T04:11:00.000Z"),
        ("mine", "x", "x"),
    ],
)
def test_cells_are_read_as_the_taxonomy_says(name, cell, value):
    assert prop(cell, name) == value


@pytest.mark.parametrize("cell", [None, ""])
def test_an_empty_cell_is_absent(cell):
    assert prop(cell) is None


@pytest.mark.parametrize(
    ("name", "cell", "reason"),
    [
        ("df_total_purchase_amount", "1,000", "a number"),
        ("flag", "yes", "true or false"),
        ("n", "1.5", "a whole number"),
        ("tags", "a", "a JSON list of texts"),
        ("counts", '["a"]', "a JSON list of whole numbers"),
        ("when", dt.datetime.fromisoformat("2025-03-02"), "no time zone"),
    ],
)
def test_a_wrong_cell_is_named(name, cell, reason):
    with pytest.raises(LineError, match=reason) as caught:
        prop(cell, name)
    assert caught.value.field == f"event_properties.{name}"


@pytest.mark.parametrize(
    ("cell", "options", "moment"),
    [
        ("2025-03-02T04:11:00Z", {}, MOMENT),
        (MOMENT, {}, MOMENT),
        ("2025-03-02 13:11", {"zone": SEOUL}, MOMENT),
        ("20250302", {"zone": SEOUL}, dt.datetime(2025, 3, 2, tzinfo=SEOUL)),
        (20250302, {"zone": SEOUL}, dt.datetime(2025, 3, 2, tzinfo=SEOUL)),
        (dt.date(2025, 3, 2), {"zone": SEOUL}, dt.datetime(2025, 3, 2, tzinfo=SEOUL)),
        ("02.03.2025 04:11", {"zone": dt.UTC, "datetime_format": "%d.%m.%Y %H:%M"}, MOMENT),
        ("02.03.2025 04:11 +0000", {"datetime_format": "%d.%m.%Y %H:%M %z"}, MOMENT),
    ],
)
def test_moments(cell, options, moment):
    assert event([cell], ["event_datetime"], **options).datetime == moment


@pytest.mark.parametrize(
    ("cell", "options", "reason"),
    [
        ("2025-03-02", {}, "has no time zone"),
        (dt.date(2025, 3, 2), {}, "has no time zone; name one"),
        ("yesterday", {"zone": SEOUL}, "is no datetime$"),
        ("2025-03-02", {"datetime_format": "%Y"}, "is no datetime in the form %Y"),
        (1.5, {"zone": SEOUL}, "must be a datetime"),
        (True, {"zone": SEOUL}, "must be a datetime"),
    ],
)
def test_what_is_no_moment(cell, options, reason):
    with pytest.raises(LineError, match=reason):
        event([cell], ["event_datetime"], **options)


def test_a_row_is_an_event_with_one_item():
    made = event(
        ["7", "x"],
        ["count", "sku"],
        columns={"count": "event_items.df_quantity", "sku": "event_items.df_item_id"},
        constants={"event_items.df_item_name": "cd", "event_properties.loose": 1},
    )

    assert made.items == [{"df_item_name": "cd", "df_quantity": 7, "df_item_id": "x"}]
    assert made.properties == {"loose": 1}


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        ('[{"a": 1}]', [{"a": 1}]),
        ([{"a": 1, "b": None}], [{"a": 1}]),
        ([[("a", 1)]], [{"a": 1}]),
    ],
)
def test_items_as_a_whole(cell, items):
    assert event([cell], ["event_items"]).items == items


@pytest.mark.parametrize("cell", ["x", '["a"]', 5, [1]])
def test_what_are_no_items(cell):
    with pytest.raises(LineError):
        event([cell], ["event_items"])


def test_whole_objects_and_columns_of_their_own_come_together():
    table = read_header(
        ["identity", "identity.email", "user_properties", "user_properties.df_name"], "profiles", TAXONOMY
    )
    record = table.record(1, [{"external_id": "u1", "email": None}, "e", '{"a": 1}', "Kim"])

    assert (record.identity.external_id, record.identity.email) == ("u1", "e")
    assert record.properties == {"a": 1, "df_name": "Kim"}
    with pytest.raises(LineError, match="a JSON object"):
        table.record(1, ["x", None, None, "Kim"])


@pytest.mark.parametrize(("cell", "text"), [(7, "7"), ("007", "007")])
def test_ids_are_texts(cell, text):
    table = read_header(["identity.external_id"], "identities", TAXONOMY)
    assert table.record(1, [cell]).identity.external_id == text


@pytest.mark.parametrize("cell", [1.5, True])
def test_what_is_no_id(cell):
    table = read_header(["identity.external_id"], "identities", TAXONOMY)
    with pytest.raises(LineError, match="text, or a whole number"):
        table.record(1, [cell])


def test_a_name_that_is_no_text():
    with pytest.raises(LineError, match="must be text"):
        event([5], ["event_name"])


def test_a_row_without_what_every_event_has():
    with pytest.raises(LineError, match="event_name: is missing"):
        event([None], ["event_name"])


def test_a_row_as_it_is_written():
    table = read_header(["identity.external_id", "event_name", "event_datetime"], "events", TAXONOMY)
    assert table.as_written(["u1", "", "?"]) == {"identity": {"external_id": "u1"}, "event_datetime": "?"}


@pytest.mark.parametrize(
    ("titles", "mapping", "problem"),
    [
        (["identity.external_id", "event_name"], {}, "the column event_datetime is missing"),
        (["event_name", "event_datetime"], {}, "no column says whose a line is"),
        (["identity.external_id", "event_name", "event_datetime", "event_nam"], {}, "did you mean event_name"),
        (["identity.external_id", "event_name", "event_datetime", "price"], {}, "called event_properties.price"),
        (["identity.external_id", "event_name", "event_datetime", "event_items", "event_items.a"], {}, "a whole list"),
        (["identity.external_id", "event_name", "event_name"], {}, "event_name is there twice"),
        (["who", "event_name"], {"columns": {"who": "event_name"}}, "event_name is there twice"),
        (["event_name"], {"constants": {"event_name": "x"}}, "event_name is there twice"),
        (["who"], {"columns": {"who": "user_properties.x"}}, "the mapping: unknown column 'user_properties.x'"),
        (["who"], {"columns": {"whom": "event_name"}}, "'whom', which is not there; did you mean who"),
        (["event_name"], {"constants": {"nothing": "x"}}, "the mapping: unknown column 'nothing'"),
        (["event_name"], {"constants": {"event_properties.flag": "x"}}, "flag: must be true or false"),
        (["sep=;"], {}, "sep= line"),
        (["identity.external_id;event_name"], {}, "parted by commas"),
        (["a", "b"], {}, "has no column that is known: a, b; columns are such as identity.external_id, "),
        (["customer_name"] * 11, {}, r"customer_name, …; columns are .* --map COLUMN=FIELD says which is which"),
        (["u1", "2025-03-02"], {}, "has no header: .*; or --header names them"),
    ],
)
def test_headers_that_will_not_do(titles, mapping, problem):
    with pytest.raises(HeaderError, match=problem):
        read_header(titles, "events", TAXONOMY, TableMapping(**mapping) if mapping else None)


def test_headers_of_profiles_and_identities():
    with pytest.raises(HeaderError, match=r"called user_properties\.NAME"):
        read_header(["identity.email"], "profiles", TAXONOMY)
    with pytest.raises(HeaderError, match="unknown column 'event_name'"):
        read_header(["identity.email", "event_name"], "identities", TAXONOMY)
    with pytest.raises(HeaderError, match=r"such as identity\.external_id;"):
        read_header(["x"], "identities", TAXONOMY)
    assert field_names("profiles") == ["identity", "user_properties"]
    assert field_names("identities") == ["identity"]
    assert "event_log_id" in field_names("events")


def test_a_table_of_values_always_has_a_header():
    with pytest.raises(HeaderError, match="none of its columns is a field"):
        read_header(["a", "b"], "events", TAXONOMY, typed=True)


def test_only_a_mapping_leaves_columns_out():
    titles = ["identity.external_id", "event_name", "event_datetime", "more"]
    assert read_header(titles, "events", TAXONOMY, TableMapping(columns={"more": "event_log_id"})).left_out == []
    assert read_header(titles, "events", TAXONOMY, TableMapping(constants={"event_properties.a": 1})).left_out == [
        "more"
    ]
    with pytest.raises(HeaderError, match="unknown column 'more'"):
        read_header(titles, "events", TAXONOMY, TableMapping(zone=SEOUL))


def test_what_is_not_registered_is_named():
    titles = ["identity.external_id", "user_properties.age"]
    profile = read_header(titles, "profiles", TAXONOMY).record(1, ["u1", "x"])
    with pytest.raises(LineError, match=r"user_properties\.age: is not registered"):
        check_registered(profile, TAXONOMY)
    made = read_header(["identity.external_id", "event_name", "event_datetime"], "events", TAXONOMY)
    with pytest.raises(LineError, match="event_name: no event df_login is registered"):
        check_registered(made.record(1, ["u1", "df_login", MOMENT]), TAXONOMY)
    named = read_header([titles[0], "user_properties.df_name"], "profiles", TAXONOMY).record(1, ["u1", "Kim"])
    check_registered(named, TAXONOMY)
    check_registered(made.record(1, ["u1", "shop_opened", MOMENT]), TAXONOMY)
    check_registered(read_header(titles[:1], "identities", TAXONOMY).record(1, ["u1"]), TAXONOMY)


def test_mappings_of_files():
    content = {
        "columns": {"a": "event_name"},
        "constants": {"event_properties.n": 1},
        "header": ["a"],
        "separator": "tab",
    }
    mapping = mapping_of({**content, "zone": "x"}, SEOUL)

    assert (mapping.columns, mapping.header, mapping.zone) == ({"a": "event_name"}, ("a",), SEOUL)
    for wrong, problem in (
        ([], "not list"),
        ({"colums": {}}, "did you mean columns"),
        ({"columns": {"a": 1}}, "the mapping is not valid: Expected `str`, got `int`"),
        ({"separator": "ab"}, "separator must be one character"),
        ({"columns": {"a": "x", "b": "x"}}, "fills x twice"),
    ):
        with pytest.raises(ConfigError, match=problem):
            mapping_of(wrong)
