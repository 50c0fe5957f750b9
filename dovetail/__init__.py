"""Dovetail: a self-hosted inference server for open code models whose edits fit."""

__version__ = "0.1.0"
