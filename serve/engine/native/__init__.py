"""The native engine: torch, paged KV cache, one ragged batch per step. Knows no HTTP, no grammar and no edit format."""
