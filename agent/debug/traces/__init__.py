"""What failing commands print: places in the code, failing tests, what was expected and what was seen."""
