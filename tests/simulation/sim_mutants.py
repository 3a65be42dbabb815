"""All mutants. Each names the checks that may catch it and the seeds within which one of them must.

They are those of the study that this simulation comes from and as many again; "accepted before it is on disk" is not
here, as it belongs to the spool.
"""

from __future__ import annotations

import sim_mutants_engine
import sim_mutants_lanes
from sim_mutant import DEFECTS, Mutant, mutated

__all__ = ["MUTANTS", "Mutant", "mutated"]

MUTANTS = DEFECTS
assert all(part.__doc__ for part in (sim_mutants_engine, sim_mutants_lanes))  # reading them fills the list
