"""What all tests are run with: a watch over what they make the library tell (tests/canary.py)."""

pytest_plugins = ["canary", "pytester"]
