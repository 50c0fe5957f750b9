"""Commands run contained: with their own view of the machine, within limits, and with nothing left behind.

Imports nothing: the launcher starts from here for every command, with the standard library alone.
"""
