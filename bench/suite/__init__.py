"""The pytest-benchmark suite: ``pytest bench/suite --benchmark-only``."""
