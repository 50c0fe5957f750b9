"""vLLM as an engine: its AsyncLLM behind the Engine protocol, with the constraints of this server on top of it."""
