"""From the fused query-key-value projection to rotated queries and stored keys and values."""
