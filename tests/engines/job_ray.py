"""Sends a file of rows through Ray Data; prints the total of the reports."""

from __future__ import annotations

import argparse
import json
import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"

import ray

from dfinery_async.integrations.ray import DfineryDatasink, co_locate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--spread", action="store_true", help="leave the rows where they are")
    chosen = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=1_500_000_000)
    rows = ray.data.read_json(chosen.path, lines=True)
    placed = rows.repartition(chosen.blocks) if chosen.spread else co_locate(rows, chosen.blocks)
    sink = DfineryDatasink()
    placed.write_datasink(sink, ray_remote_args={"max_retries": 3})
    ray.shutdown()
    assert sink.report is not None
    sys.stdout.write(json.dumps(sink.report.to_dict()) + "\n")


if __name__ == "__main__":
    main()
