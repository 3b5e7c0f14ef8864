"""Benchmarks: ratios measured side by side in one run, never a timed test. `make bench` runs them.

Every scenario is paired with a ceiling of the same box in the same minutes (A B B A, five repetitions or more), so
that a slow or noisy machine moves both sides. Results go to build/bench.json.
"""
