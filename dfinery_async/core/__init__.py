"""What decides: pure functions and values, without await, clock, chance or I/O.

Time and random numbers come in as arguments. `tests/test_import_rules.py` holds this package to it.
"""
