"""The OpenAI Responses API: items in, items and typed events out."""
