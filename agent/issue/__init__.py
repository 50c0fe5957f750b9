"""An issue's text, worked on in a branch of its own, beside the user's work tree."""
