"""Where stored objects lie: in this process, in a file, or in a PostgreSQL database that several servers share."""
