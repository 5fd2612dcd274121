"""Trained networks taken out of a run: found by the id of their record, computed with, exported."""
