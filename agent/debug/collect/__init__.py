"""What a run of Python code does, line by line: collected inside the sandbox, read outside of it."""
