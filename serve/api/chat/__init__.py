"""Chat Completions: messages in, choices out."""
