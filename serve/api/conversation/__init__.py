"""What Chat Completions, Responses and Messages share: a conversation in, requests to the engine, pieces of an answer out."""
