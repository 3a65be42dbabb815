from __future__ import annotations

import asyncio
import datetime as dt
import pickle
import subprocess
import sys
import threading
import uuid
from collections import defaultdict

import msgspec
import pytest
from partition_kit import ids, numbered, row, settings

from dfinery_async import PartitionReport, send_partition
from dfinery_async.cli.app import run
from dfinery_async.emulator import Emulator

MOMENT = dt.datetime(2025, 3, 2, 4, 11, 9, tzinfo=dt.UTC)


@pytest.fixture
def emulator():
    with Emulator() as emulator:
        yield emulator


def test_each_row_arrives_in_the_order_of_its_user_and_the_books_balance(emulator):
    report = send_partition(numbered(20, 150), settings=settings(emulator))

    seen = defaultdict(list)
    for event in emulator.events:
        seen[event["identity"]["external_id"]].append(event["event_properties"]["number"])
    assert report.complete
    assert (report.accepted, report.delivered, report.pending, report.unreadable) == (3000, 3000, 0, 0)
    assert report.requests == len(emulator.requests)
    assert dict(seen) == {f"u{user}": list(range(150)) for user in range(20)}


def test_the_report_can_be_sent_to_another_process(emulator):
    report = send_partition([row(event_name="")], settings=settings(emulator))

    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301 - our own
    assert msgspec.json.decode(msgspec.json.encode(report.to_dict()))["problems"] == [
        "row 1: event_name: must not be empty"
    ]
    assert pickle.loads(pickle.dumps(send_partition)) is send_partition  # noqa: S301


def test_no_rows_are_no_requests(emulator):
    report = send_partition(iter([]), settings=settings(emulator))

    assert report.complete
    assert report.accepted == 0
    assert emulator.requests == []


def test_objects_in_rows_and_plain_users_are_taken(emulator):
    log_id = uuid.uuid4()
    rows = [
        row(
            identity="u9",
            event_datetime=MOMENT,
            event_log_id=log_id,
            event_properties={"day": dt.date(2025, 3, 2), "at": MOMENT, "tags": ("a", "b")},
            event_items=({"df_item_id": "1"},),
        )
    ]

    assert send_partition(rows, settings=settings(emulator)).complete

    (event,) = emulator.events
    assert event["identity"] == {"external_id": "u9"}
    assert event["event_datetime"] == "2025-03-02T04:11:09.000Z"
    assert event["event_log_id"] == str(log_id)
    assert event["event_properties"] == {"day": "2025-03-02", "at": "2025-03-02T04:11:09.000Z", "tags": ["a", "b"]}


def test_rows_of_a_table_have_nulls_and_dotted_columns(emulator):
    plain = {"event_name": "df_login", "event_datetime": MOMENT, "identity.external_id": "u1", "event_items": None}
    rows = [
        {**plain, "event_properties": '{"a": 1, "b": null}'},
        {**plain, "event_properties": "{"},
        {**plain, "event_properties.a": 2, "event_properties.b": None},
    ]

    report = send_partition(rows, settings=settings(emulator, table=True))

    assert [event["event_properties"] for event in emulator.events] == [{"a": 1}, {"a": 2}]
    assert report.problems == ('row 2: event_properties: must be a JSON object, such as {"external_id": "u1"}',)


def test_reports_add_up(emulator):
    one = send_partition(numbered(2, 3), settings=settings(emulator))
    two = send_partition([row(event_name="")], settings=settings(emulator))

    whole = PartitionReport.total([one, two])

    assert (whole.accepted, whole.delivered, whole.rejected, whole.unreadable) == (7, 6, 1, 1)
    assert whole.seconds == max(one.seconds, two.seconds)
    assert whole.problems == two.problems
    assert PartitionReport.total([]).complete


def test_rows_are_sorted_by_user_and_time_when_asked_for(emulator):
    times = ["2025-03-02T04:00:00Z", "2025-03-02T12:30:00+09:00", "2025-03-02T03:00:00.500Z", "2025-03-02T03:00:00Z"]
    rows = [
        row(user, event_datetime=time, event_properties={"n": n})
        for n, time in enumerate([*times, times[0]])
        for user in ("u1", "u2")
    ]

    report = send_partition(rows, settings=settings(emulator, sort=True, producer={"max_in_flight": 1}))

    assert [event["event_properties"]["n"] for event in emulator.events] == [3, 2, 1, 0, 4] * 2
    assert report.requests == 2


def test_profiles_and_identities_are_kinds_of_partitions(emulator):
    profiles = [{"identity": "u1", "user_properties": {"df_gender": "Female"}}]

    assert send_partition(profiles, settings=settings(emulator, kind="profiles")).complete
    assert send_partition([{"identity": {"email": "a@b.c"}}], settings=settings(emulator, kind="identities")).complete

    first, second = emulator.profiles
    assert first.properties == {"df_gender": "Female"}
    assert second.identities == {"email": "a@b.c"}


class TestIds:
    def test_a_partition_that_is_run_again_makes_no_new_events(self, emulator):
        rows = [*numbered(3, 5), row(), row()]
        for _ in range(2):
            assert send_partition(rows, settings=settings(emulator)).complete

        assert len(emulator.events) == 34
        assert len(set(ids(emulator))) == 17  # two equal rows are two events

    def test_they_are_those_of_a_file_with_the_same_lines(self, emulator, tmp_path, monkeypatch):
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        rows = [*numbered(3, 5), row(), row()]
        path = tmp_path / "events.jsonl"
        path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in rows))

        assert run(["load", "events", str(path)]) == 0
        of_the_file = set(ids(emulator))
        emulator.reset()
        send_partition(rows, settings=settings(emulator))

        assert set(ids(emulator)) == of_the_file

    def test_by_content_the_order_of_rows_does_not_matter(self, emulator):
        rows = [row(), *numbered(3, 5), row()]
        found = []
        for several in (rows, rows[::-1], rows[5:] + rows[:5]):
            emulator.reset()
            assert send_partition(several, settings=settings(emulator, ids="content")).complete
            found.append(set(ids(emulator)))

        assert found[0] == found[1] == found[2]
        assert len(found[0]) == 17

    def test_by_content_a_part_of_the_users_has_the_same_ids_alone(self, emulator):
        rows = [row(), *numbered(3, 5), row()]
        send_partition(rows, settings=settings(emulator, ids="content"))
        whole = {(event["identity"]["external_id"], event["event_log_id"]) for event in emulator.events}
        emulator.reset()
        send_partition(
            [each for each in rows if each["identity"]["external_id"] != "u0"],
            settings=settings(emulator, ids="content"),
        )

        assert set(ids(emulator)) == {log_id for user, log_id in whole if user != "u0"}


class TestWhereItRuns:
    def test_settings_come_from_the_environment(self, emulator, monkeypatch):
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)

        assert send_partition([row()], settings={}).complete

    async def _call(self, emulator) -> PartitionReport:
        return send_partition([row()], settings=settings(emulator))

    def test_it_works_in_a_thread_whose_loop_runs(self, emulator):
        assert asyncio.run(self._call(emulator)).complete

    def test_rows_are_read_in_the_callers_thread(self, emulator):
        threads = set()

        def rows():
            for each in numbered(2, 600):
                threads.add(threading.get_ident())
                yield each

        send_partition(rows(), settings=settings(emulator))

        assert threads == {threading.get_ident()}

    def test_it_works_in_forked_workers_of_a_process_that_has_sent_already(self, emulator):
        if sys.platform == "win32":
            pytest.skip("no forks here")
        code = """
import multiprocessing
from dfinery_async import send_partition

def rows(user):
    for number in range(50):
        yield {"identity": user, "event_name": "df_login", "event_datetime": "2025-03-02T04:11:09Z"}

def work(user):
    return send_partition(rows(user), settings={}).delivered

assert work("parent") == 50
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, ["u1", "u2", "u3"]))
    pool.close()
    pool.join()
"""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env=emulator.environment,
        )

        assert (done.stdout.strip(), done.stderr) == ("[50, 50, 50]", "")
        assert len(set(ids(emulator))) == 200

    def test_many_at_once_in_threads(self, emulator):
        reports = []

        def work(user):
            reports.append(send_partition([row(user)] * 50, settings=settings(emulator)))

        threads = [threading.Thread(target=work, args=(f"u{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [report.delivered for report in reports] == [50] * 4
        assert len(set(ids(emulator))) == 200
