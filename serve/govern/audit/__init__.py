"""The audit log: who asked for what, when, and what came of it, in a hash chain that shows every later change."""
