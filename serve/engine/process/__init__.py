"""An engine in a process of its own: the API stays responsive whatever the engine does, and outlives it."""
