"""Measures a running server by suites of tasks with known answers: ``dovetail eval``."""
