"""Prices in cents."""


def net_price(cents, discount=0):
    """What is left of a price after a discount in percent."""
    return cents - cents * discount // 100


def with_tax(cents, rate=19):
    return cents + cents * rate // 100
