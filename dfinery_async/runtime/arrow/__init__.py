"""Tables of Apache Arrow: exports as typed columns, Parquet, and frames that are loaded. Needs the extra `arrow`.

pyarrow comes without types, so here is the one place that imports it, as what it is to a type checker: anything.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["pa", "pc", "pcsv", "pq"]

pa: Any = import_module("pyarrow")
pc: Any = import_module("pyarrow.compute")
pcsv: Any = import_module("pyarrow.csv")
pq: Any = import_module("pyarrow.parquet")
