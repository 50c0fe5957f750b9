"""Capacity on paper: how many machines a number of users needs, from the model's shape and the machine's limits."""
