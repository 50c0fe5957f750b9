"""The console over HTTP: its files, for everybody, and what it shows, for those who may see it."""
