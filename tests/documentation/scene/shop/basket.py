"""A basket of goods."""

from shop.prices import net_price, with_tax


class Basket:
    def __init__(self):
        self.items = []

    def put(self, name, cents, count=1):
        self.items.append((name, cents, count))

    def total(self, discount=0):
        amount = sum(cents * count for _, cents, count in self.items)
        return with_tax(net_price(amount, discount))
