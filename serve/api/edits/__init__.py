"""Edits as an endpoint of their own: an instruction and files in, edits that fit out; and text from elsewhere, applied."""
