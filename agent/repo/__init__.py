"""Understanding a repository: its files, symbols, imports, callers, layers and conventions."""
