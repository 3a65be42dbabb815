"""What the sinks make of their settings, without their engines' clusters."""

from __future__ import annotations

import json
import pickle
import warnings
from importlib.util import find_spec
from typing import Any

import pytest
from engine_servers import redis_server
from redis_kit import SERVERS

from dfinery_async import ConfigError, PacingConfig, RetryConfig
from dfinery_async.emulator import Emulator
from dfinery_async.integrations.redis import RedisQuota

ROWS = [
    {"identity": "u1", "event_name": "df_login", "event_datetime": f"2025-03-02T04:11:0{second}Z", "event_items": None}
    for second in (3, 1, 2)
]

needs_spark = pytest.mark.skipif(find_spec("pyspark") is None, reason="pyspark is not installed")
needs_redis = pytest.mark.skipif(not SERVERS, reason="no Redis here: apt-get install redis-server")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
needs_dlt = pytest.mark.skipif(find_spec("dlt") is None, reason="dlt is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # the engines warn of themselves


@pytest.fixture
def emulator():
    with Emulator() as emulator:
        yield emulator


def settings(emulator):
    return {"service_id": emulator.service_id, "import_token": emulator.import_token, "base_url": emulator.base_url}


def seconds(emulator):
    return [int(event["event_datetime"][17:19]) for event in emulator.events]


@needs_spark
class TestSpark:
    def _source(self, options):
        from dfinery_async.integrations.spark import DfinerySource  # noqa: PLC0415 - it may be missing

        make: Any = DfinerySource  # where Spark is missing its base takes no options
        return make(options)

    def _batches(self):
        import pyarrow as pa  # noqa: PLC0415 - it comes with the engine

        return iter(pa.Table.from_pylist(ROWS).to_batches())

    def test_a_batch_keeps_the_order_of_its_rows_and_a_stream_that_of_their_time(self, emulator):
        source = self._source(settings(emulator))
        report = source.writer(None, overwrite=False).write(self._batches()).report
        assert report.delivered == 3
        assert seconds(emulator) == [3, 1, 2]
        emulator.reset()
        source.streamWriter(None, overwrite=False).write(self._batches())
        assert seconds(emulator) == [1, 2, 3]

    def test_groups_and_numbers_among_the_options(self):
        options = {"retry.cap": "5", "pacing.share": "0.5", "producer.max_in_flight": "8", "give_up_after": "10"}
        writer = self._source({**options, "kind": "profiles", "path": "x", "checkpointLocation": "y"}).writer(
            None, overwrite=False
        )

        assert pickle.loads(pickle.dumps(writer))._settings == {  # noqa: S301 - as Spark does
            "table": True,
            "ids": "content",
            "raise_on": "failure",
            "kind": "profiles",
            "give_up_after": 10,
            "retry": RetryConfig(cap=5),
            "pacing": PacingConfig(share=0.5),
            "producer": {"max_in_flight": 8},
        }

    def test_reports_are_kept_in_a_file(self, emulator, tmp_path):
        path = tmp_path / "report.json"
        writer = self._source({**settings(emulator), "report": str(path)}).writer(None, overwrite=False)
        writer.commit([writer.write(self._batches()), None])

        content = json.loads(path.read_bytes())
        assert content["total"]["delivered"] == content["partitions"][0]["delivered"] == 3

    @needs_redis
    def test_tasks_share_the_quota_in_redis(self, emulator):
        with redis_server() as url:
            source = self._source({**settings(emulator), "quota_share": url})
            writer = pickle.loads(pickle.dumps(source.writer(None, overwrite=False)))  # noqa: S301 - as Spark does
            assert writer._settings["quota_share"] == RedisQuota(url=url)
            assert writer.write(self._batches()).report.delivered == 3

    def test_nothing_is_ever_replaced(self):
        with pytest.raises(ConfigError, match=r"mode\(\"append\"\)"):
            self._source({}).writer(None, overwrite=True)

    def test_no_token_shows(self):
        writer = self._source({"import_token": "secret"}).writer(None, overwrite=False)

        assert "secret" not in repr(writer)


@needs_ray
class TestRay:
    def test_a_block_is_sent_in_the_order_of_its_time(self, emulator):
        import pyarrow as pa  # noqa: PLC0415 - it comes with the engine

        from dfinery_async.integrations.ray import DfineryDatasink, _with_bucket  # noqa: PLC0415

        sink = DfineryDatasink(settings(emulator))
        table = _with_bucket(pa.Table.from_pylist(ROWS), 8)
        assert len(set(table["dfinery_bucket"].to_pylist())) == 1
        report = sink.write([table, pa.table({})], None)

        assert report.delivered == 3
        assert seconds(emulator) == [1, 2, 3]
        assert emulator.import_token not in repr(sink)


@needs_dlt
def test_what_a_table_holds_is_said_in_one_place():
    with warnings.catch_warnings(action="ignore"):
        from dfinery_async.integrations.dlt import destination  # noqa: PLC0415 - it may be missing

    with pytest.raises(ConfigError, match="tables="):
        destination({"kind": "profiles"})
