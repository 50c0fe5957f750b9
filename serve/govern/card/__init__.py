"""The system card: what runs here, what was measured here, what is guaranteed and by which test, what is not known."""
