"""Matrix products with weights stored in 32, 16, 8 or 4 bits, fast for few rows."""
