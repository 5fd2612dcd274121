"""Trained networks taken out of a run: found by the id of their record, computed with, exported."""

from bench.trained.found import RecordNotFound, Trained, find

__all__ = ["RecordNotFound", "Trained", "find"]
