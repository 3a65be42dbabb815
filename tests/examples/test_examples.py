"""The programs in examples/, run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfinery_async.emulator import Emulator

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_frame_of_polars_goes_in_and_comes_out():
    pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    with Emulator() as emulator:
        done = subprocess.run(
            [sys.executable, EXAMPLES / "polars_in_and_out.py"],
            env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **emulator.environment},
            capture_output=True,
            text=True,
            check=False,
        )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 of 3 delivered in 2 requests\n")
    assert done.stdout.endswith("the same as what was sold\n")
