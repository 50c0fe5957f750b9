"""API keys: made, listed, rotated, revoked, looked up."""
