"""Invoices as text."""

from shop.prices import net_price


def line(name, cents, discount):
    return f"{name}: {net_price(cents, discount)}"
