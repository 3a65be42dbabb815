"""Options of a load: how events are packed, a dry run, and a taxonomy."""

from __future__ import annotations

import json

import pytest
from cli_kit import event_file, event_line


def interleaved(path, users=300, rounds=5):
    path.write_bytes(
        b"".join(
            event_line(number, identity={"external_id": f"u{user}"})
            for number in range(rounds)
            for user in range(users)
        )
    )
    return path


@pytest.mark.parametrize("pack", ["memory", "full"])
def test_interleaved_users_cost_hardly_more_than_the_least(dfinery, emulator, tmp_path, pack):
    file = interleaved(tmp_path / "e.jsonl")
    code, output, _ = dfinery("load", "events", file, "--json", "--pack", pack)

    report = json.loads(output)
    assert (code, report["delivered"]) == (0, 1500)
    assert report["requests"] <= 300 * 1.02
    by_user: dict[str, list[str]] = {}
    for event in emulator.events:
        by_user.setdefault(event["identity"]["external_id"], []).append(event["event_datetime"])
    assert all(moments == sorted(moments) for moments in by_user.values())


def test_packing_changes_no_ids(dfinery, emulator, tmp_path):
    file = interleaved(tmp_path / "e.jsonl", users=20)
    for pack in ("memory", "full"):
        dfinery("load", "events", file, "--pack", pack)
    ids = [event["event_log_id"] for event in emulator.events]

    assert len(ids) == 200
    assert len(set(ids)) == 100


def test_a_dry_run_checks_every_line_and_plans(dfinery, tmp_path):
    file = interleaved(tmp_path / "e.jsonl", users=3)
    file.write_bytes(file.read_bytes() + b"{}\n")
    code, output, errors = dfinery(
        "load", "events", file, "--dry-run", "--json", "--rejects", tmp_path / "r.jsonl", "--limit-rate", "60/1m"
    )

    plan = json.loads(output)
    assert code == 1
    assert "e.jsonl:16: identity: is missing" in errors
    assert (plan["units"], plan["requests"], plan["unreadable"]) == (15, 3, 1)
    assert plan["limit_rate"] == 1.0
    assert json.loads((tmp_path / "r.jsonl").read_text())["error"]["line"] == 16


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_what_is_not_registered_is_a_bad_line(dfinery, emulator, tmp_path, ending):
    taxonomy = {
        "events": ["shop_rated"],
        "event_properties": [{"name": "shop_stars", "type": "Long"}, {"name": "shop_tags", "type": "Array of String"}],
    }
    (tmp_path / "t.json").write_text(json.dumps(taxonomy))
    moment = "2025-03-02T04:11:09Z"
    names = ["identity.external_id", "event_name", "event_datetime", "event_properties.shop_stars"]
    rows = [["u1", "shop_rated", moment, "5"], ["u2", "shop_ratd", moment, "5"], ["u3", "shop_rated", moment, "many"]]
    file = tmp_path / f"e.{ending}"
    if ending == "csv":
        file.write_text("\n".join([",".join(names), *map(",".join, rows), ""]))
    elif ending == "parquet":
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), file)
    else:
        file.write_bytes(
            b"".join(
                event_line(
                    1,
                    identity={"external_id": who},
                    event_name=name,
                    event_properties={"shop_stars": int(stars) if stars.isdecimal() else stars},
                )
                for who, name, _, stars in rows
            )
        )
    code, _, errors = dfinery("load", "events", file, "--taxonomy", tmp_path / "t.json")

    assert code == 1
    assert "event_name: no event shop_ratd is registered; did you mean shop_rated?" in errors
    assert "event_properties.shop_stars: " in errors
    (event,) = emulator.events
    assert event["event_properties"] == {"shop_stars": 5}


def test_a_taxonomy_that_can_not_be_read(dfinery, emulator, tmp_path):
    code, _, errors = dfinery("load", "events", event_file(tmp_path / "e.jsonl", 1), "--taxonomy", tmp_path / "no.json")
    assert code == 2
    assert "the taxonomy can't be read" in errors
