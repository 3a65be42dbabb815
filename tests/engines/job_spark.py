"""Sends a file of rows through Spark; prints the total of the reports."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession

from dfinery_async.integrations.spark import DfinerySource, co_locate

SCHEMA = (
    "identity struct<external_id: string>, event_name string, event_datetime string, event_properties "
    "struct<df_order_id: string, df_total_purchase_amount: double>, event_items array<struct<df_item_id: string, "
    "df_item_name: string, df_quantity: bigint>>"
)


def session() -> SparkSession:
    builder = SparkSession.builder.master("local[2,4]").appName("dfinery")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.showConsoleProgress": "false",
    }.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--spread", action="store_true", help="leave the rows where they are")
    parser.add_argument("--stream", action="store_true", help="as a stream, of the file's folder")
    parser.add_argument("--option", action="append", default=[])
    chosen = parser.parse_args()
    spark = session()
    spark.dataSource.register(DfinerySource)
    options = dict(option.split("=", 1) for option in chosen.option)
    with tempfile.TemporaryDirectory() as folder:
        options["report"] = f"{folder}/report.json"
        if chosen.stream:
            stream = spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).json(str(Path(chosen.path).parent))
            placed = co_locate(stream, chosen.partitions)
            query = (
                placed.writeStream.format("dfinery")
                .options(**options)
                .option("checkpointLocation", f"{folder}/checkpoint")
                .trigger(availableNow=True)
                .start()
            )
            query.awaitTermination()
        else:
            rows = spark.read.schema(SCHEMA).json(chosen.path)
            placed = rows.repartition(chosen.partitions) if chosen.spread else co_locate(rows, chosen.partitions)
            placed.write.format("dfinery").mode("append").options(**options).save()
        total = json.loads(Path(options["report"]).read_bytes())["total"]
    spark.stop()
    sys.stdout.write(json.dumps(total) + "\n")


if __name__ == "__main__":
    main()
