"""Comparing two sides, base and head: two recorded runs, or two sides measured in turn within one session."""
