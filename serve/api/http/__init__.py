"""HTTP itself, whatever the endpoint: bodies in, JSON values checked, errors and streams out, every request observed."""
