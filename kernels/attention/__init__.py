"""Attention of a ragged batch over a paged key-value cache."""
