"""A small warehouse inventory."""

from dataclasses import dataclass, field


@dataclass
class Item:
    """One kind of thing on the shelves."""

    name: str
    quantity: int
    price: float


@dataclass
class Inventory:
    """Items by name."""

    items: dict = field(default_factory=dict)

    def add(self, name, quantity, price):
        """Put ``quantity`` more of an item on the shelf."""
        if name in self.items:
            self.items[name].quantity += quantity
        else:
            self.items[name] = Item(name, quantity, price)

    def remove(self, name, quantity):
        """Take ``quantity`` of an item off the shelf."""
        item = self.items[name]
        if item.quantity > quantity:
            raise ValueError(f"only {item.quantity} of {name} left")
        item.quantity -= quantity

    def total(self):
        """What everything on the shelves is worth."""
        return sum(item.quantity * item.price for item in self.items.values())
