"""A cart of goods."""

from shop.tax import tax


class Cart:
    def __init__(self):
        self.items = []

    def add(self, cents, count=1):
        self.items.append((cents, count))

    def total(self):
        amount = sum(cents * count for cents, count in self.items)
        return amount + tax(amount)


def bill(cart):
    return f"{cart.total()} cents"
