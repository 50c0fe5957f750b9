"""A whole decoder in one call."""
