"""Files and Batches: requests in a file, run while nobody waits, their answers in another file."""
