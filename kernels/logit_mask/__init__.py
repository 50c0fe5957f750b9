"""Bit masks over the vocabulary, applied to logits."""
