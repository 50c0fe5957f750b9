"""What can go wrong with a model directory and its templates. Knows no HTTP: the server maps these to its own errors.

Exception
|- ModelDirectoryError   the directory cannot be served: says what is wrong, which file, what to do
`- ChatTemplateError     a template refused or choked on these messages
"""

from __future__ import annotations


class ModelDirectoryError(Exception):
    """A model directory is incomplete, damaged or of a kind that is not supported."""


class ChatTemplateError(Exception):
    """A template could not be rendered with the given messages."""
