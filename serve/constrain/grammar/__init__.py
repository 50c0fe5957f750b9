"""Outputs held to a grammar: JSON schema, regular expression, Lark or choice, by llguidance."""
