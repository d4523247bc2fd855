"""What docs/RESULTS.md is printed by. `python -m benchmarks --help`; nothing here is timed in a test."""
