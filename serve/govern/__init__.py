"""Governance: who may do what, how much of it, and what is kept of it. Knows no engine and no route."""
