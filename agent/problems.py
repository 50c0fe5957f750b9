"""What can go wrong on the client's side, in words for the user.

Problem
|- FileProblem          a file cannot be read, edited or written
|- SandboxProblem       a command cannot be run as asked
|  `- NoSandbox         no way to contain commands works on this machine
|- SnapshotProblem      the work tree cannot be kept or brought back
`- ServerProblem        the server refused or failed
   `- ServerUnreachable nothing answers, or what answers is no Dovetail server
"""

from __future__ import annotations


class Problem(Exception):
    """Base of all; the message is shown as it is."""


class FileProblem(Problem):
    """A file cannot be read, edited or written."""


class SandboxProblem(Problem):
    """A command cannot be run as asked."""


class NoSandbox(SandboxProblem):
    """No way to contain commands works on this machine."""


class SnapshotProblem(Problem):
    """The work tree cannot be kept or brought back."""


class ServerProblem(Problem):
    """The server refused or failed."""


class ServerUnreachable(ServerProblem):
    """Nothing answers at the address, or what answers is no Dovetail server."""
