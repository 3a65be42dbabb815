"""What the benchmarks share: the far end, the loads, fresh processes, tables and plots."""
