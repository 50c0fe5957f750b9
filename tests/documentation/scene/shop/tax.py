"""Taxes in cents."""


def tax(cents, rate=19):
    return cents * rate // 100
