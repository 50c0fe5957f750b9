"""How much each caller may use, and what was used."""
