"""What can go wrong on the client's side, in words for the user.

Problem
|- FileProblem          a file cannot be read, edited or written
`- ServerProblem        the server refused or failed
   `- ServerUnreachable nothing answers, or what answers is no Dovetail server
"""

from __future__ import annotations


class Problem(Exception):
    """Base of all; the message is shown as it is."""


class FileProblem(Problem):
    """A file cannot be read, edited or written."""


class ServerProblem(Problem):
    """The server refused or failed."""


class ServerUnreachable(ServerProblem):
    """Nothing answers at the address, or what answers is no Dovetail server."""
