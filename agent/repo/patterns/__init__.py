"""A code base's own habits, each counted in its files, for a model that is to write like them."""
