"""The HTTP side: OpenAI-compatible endpoints, `/v1/edits`, health and metrics. Knows the Engine protocol, no engine."""
