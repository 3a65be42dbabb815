from __future__ import annotations

import itertools
import random

from dfinery_async.core.records import Record
from dfinery_async.models import Event, Identity
from dfinery_async.runtime.grouping import UserGroups


def test_records_come_back_by_user_and_in_their_order(tmp_path):
    random.seed(7)
    records = [
        Record(Identity(external_id=f"u{random.randrange(300)}"), Event("e", properties={"n": number, "t": "\u2028"}))
        for number in range(5000)
    ]
    groups = UserGroups(tmp_path)
    (aside,) = tmp_path.iterdir()
    assert aside.stat().st_mode & 0o777 == 0o700
    for start in range(0, 5000, 700):
        groups.add(records[start : start + 700])
    found = [record for block in groups.groups() for record in block]

    assert groups.count == 5000
    assert sorted(map(repr, found)) == sorted(map(repr, records))
    users = [record.identity.external_id for record in found]
    assert len(set(users)) == 1 + sum(one != other for one, other in itertools.pairwise(users))
    places: dict[str | None, int] = {}
    for record in found:
        assert record.event is not None
        assert record.event.properties is not None
        assert places.get(record.identity.external_id, -1) < record.event.properties["n"]
        places[record.identity.external_id] = record.event.properties["n"]
    by_id = {record.event.log_id: record.event for record in records if record.event}
    assert all(record.event == by_id[record.event.log_id] for record in found if record.event)
    groups.close()
    assert list(tmp_path.iterdir()) == []


def test_profiles_and_identities(tmp_path):
    who = Identity(external_id="u1", email="kim@example.com")
    groups = UserGroups(tmp_path)
    groups.add([Record(who, properties={"a": [1], "b": None}), Record(who)])
    assert [record for block in groups.groups() for record in block] == [
        Record(who, properties={"a": [1], "b": None}),
        Record(who),
    ]
    groups.close()
