"""Layers whose rows each go through some of many experts."""
