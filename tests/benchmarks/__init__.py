"""What things cost, as tables: `python -m tests.benchmarks [--brief]`."""
