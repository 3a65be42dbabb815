"""Sends a file of rows through dlt; prints the total of the reports."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt

from dfinery_async import PartitionReport
from dfinery_async.integrations.dlt import destination


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--table", default="events")
    parser.add_argument("--batch", type=int, default=10_000)
    chosen = parser.parse_args()
    reports: list[PartitionReport] = []
    with tempfile.TemporaryDirectory() as folder, chosen.path.open("rb") as lines:
        pipeline = dlt.pipeline(
            "shop", destination=destination(batch_size=chosen.batch, on_report=reports.append), pipelines_dir=folder
        )
        pipeline.run((json.loads(line) for line in lines), table_name=chosen.table)
    sys.stdout.write(json.dumps(PartitionReport.total(reports).to_dict()) + "\n")


if __name__ == "__main__":
    main()
