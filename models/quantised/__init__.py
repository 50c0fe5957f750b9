"""Weights that a checkpoint holds in few bits."""
