"""Turn the CDNOW purchases of Fader and Hardie into a file that `dfinery load events` reads.

    python cdnow_to_jsonl.py CDNOW_master.txt.gz -o purchases.jsonl
    dfinery load events purchases.jsonl --rejects rejects.jsonl

The file has a line for each purchase: customer, day (yyyymmdd), number of CDs, dollars, parted by spaces. The full set
begins with a line of names; the 1/10 sample has the customer's number in the sample as a second column.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO


def purchases(file: TextIO) -> Iterator[dict[str, object]]:
    """Give one event for each line."""
    for number, line in enumerate(file, start=1):
        if not line.strip() or line.split()[0] == "customer_id":
            continue
        try:
            customer, *_, day, cds, dollars = line.split()
            moment = dt.datetime.strptime(day, "%Y%m%d").replace(tzinfo=dt.UTC)
            amount, quantity = float(dollars), int(cds)
        except ValueError:
            raise SystemExit(f"line {number} is no purchase: customer, day, number of CDs, dollars") from None
        yield {
            "identity": {"external_id": customer},
            "event_name": "df_purchase",
            "event_datetime": f"{moment:%Y-%m-%dT%H:%M:%S}.000Z",
            "event_properties": {"df_order_id": f"cdnow-{number:05}", "df_total_purchase_amount": amount},
            "event_items": [{"df_item_id": "cd", "df_item_name": "CD", "df_quantity": quantity}],
            # No event_log_id: `dfinery load` derives it, the same in every run.
        }


def main() -> None:
    """Convert the file that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CDNOW_master.txt or CDNOW_sample.txt, perhaps with .gz")
    parser.add_argument("-o", "--output", type=Path, help="file to write; standard output by default")
    options = parser.parse_args()
    opener = gzip.open if options.file.suffix == ".gz" else open
    target = nullcontext(sys.stdout) if options.output is None else options.output.open("w", encoding="ascii")
    with opener(options.file, "rt", encoding="ascii") as source, target as output:
        for event in purchases(source):
            output.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    main()
