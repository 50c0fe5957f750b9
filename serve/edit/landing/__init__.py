"""Finished edits applied and judged: by their rules, by parsers, by a policy; in a process of its own where a server asks."""
