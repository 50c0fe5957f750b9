"""Who is calling: API key, OIDC token or client certificate, and what a group of callers may do."""
