"""Finding where a failure comes from, and the smallest change that mends it."""
