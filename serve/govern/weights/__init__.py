"""Model directories as files: what is in them, whether it is what was listed or signed. Loads no weights."""
