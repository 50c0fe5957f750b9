"""From rows of logits to tokens, where the logits are."""
