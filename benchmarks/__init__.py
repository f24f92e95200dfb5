"""Benchmarks: `python -m benchmarks` for figures, pytest for what fits in a process."""
