"""What docs/RESULTS.md is printed by. `python -m benchmarks --help`; nothing here is timed in a test."""

from flows import quiet  # noqa: F401 - before all else: it silences what would phone out
