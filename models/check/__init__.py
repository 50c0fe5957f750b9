"""``dovetail check``: a model directory as Dovetail reads it against transformers, on the user's own machine."""
