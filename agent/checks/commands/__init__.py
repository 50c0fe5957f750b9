"""Rungs that need the project's own tools: types, lint, tests. Everything they run is contained."""
