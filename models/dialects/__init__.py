"""How each family of models writes reasoning and tool calls: what their templates need, and how their text is read back."""
