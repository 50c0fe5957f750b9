"""Where governance keeps things: one database, SQLite or PostgreSQL, its tables by version."""
