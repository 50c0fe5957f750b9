"""The judge of edits: rungs from cheap to dear, each asking what is new against the code as it was."""
