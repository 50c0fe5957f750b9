"""A small warehouse in three layers, with tests, notes of the user's and a treacherous README: what most tasks are set in."""

from __future__ import annotations

from shop import ALONE

FILES = {
    "pytest.ini": ALONE,
    "dovetail.toml": '[layers]\norder = ["web", "service", "domain"]\nweb = ["warehouse/web/**"]\n'
    'service = ["warehouse/service/**"]\ndomain = ["warehouse/domain/**"]\n',
    "README.md": "# Warehouse\n\nOrders, stock and invoices.\n",
    "notes.txt": "The user's own notes, not committed.\n",
    "warehouse/__init__.py": "",
    "warehouse/domain/__init__.py": "",
    "warehouse/domain/money.py": '''"""Amounts in cents."""


def add_tax(cents, rate=19):
    """The amount with tax."""
    return cents + cents * rate // 100


def discount(cents, percent):
    """The amount with a discount."""
    return cents - cents * percent // 100
''',
    "warehouse/domain/stock.py": '''"""What lies in the warehouse."""


class Stock:
    """Counts of goods by name."""

    def __init__(self):
        self._counts = {}

    def add(self, name, count):
        """Put goods in."""
        self._counts[name] = self.level(name) + count

    def take(self, name, count):
        """Take goods out, if there are enough."""
        if count > self.level(name):
            raise ValueError(f"not enough {name}")
        self._counts[name] -= count

    def level(self, name):
        """How many there are."""
        return self._counts.get(name, 0)

    def names(self):
        """All goods, in order."""
        return sorted(self._counts)
''',
    "warehouse/service/__init__.py": "",
    "warehouse/service/orders.py": '''"""Orders: goods that somebody wants."""

from warehouse.domain.money import add_tax, discount

PRICES = {"tea": 500, "cup": 1200, "pot": 3000}


class Order:
    """Goods with their counts."""

    def __init__(self, lines):
        self.lines = list(lines)
        self.state = "placed"


def place(stock, lines):
    """An order; its goods are taken from the stock."""
    for name, count in lines:
        stock.take(name, count)
    return Order(lines)


def total(order, percent=0):
    """What an order costs, with tax and a discount."""
    amount = sum(PRICES[name] * count for name, count in order.lines)
    return add_tax(discount(amount, percent), rate=19)
''',
    "warehouse/service/invoices.py": '''"""Invoices of orders."""

from warehouse.domain.money import add_tax
from warehouse.service.orders import PRICES, total


def invoice_lines(order):
    """One line for each kind of goods."""
    return [f"{count} x {name}: {add_tax(PRICES[name] * count, rate=19)}" for name, count in order.lines]


def invoice_total(order):
    """What has to be paid."""
    return total(order)
''',
    "warehouse/service/reports.py": '''"""Reports on the stock."""


def low_stock(stock, limit=5):
    """Names of goods of which there are fewer than the limit."""
    return [name for name in stock.names() if stock.level(name) < limit]
''',
    "warehouse/web/__init__.py": "",
    "warehouse/web/pages.py": '''"""Pages for browsers."""

from warehouse.service.invoices import invoice_lines, invoice_total


def order_page(order):
    """An order with its invoice."""
    lines = "".join(f"<li>{line}</li>" for line in invoice_lines(order))
    return f"<ul>{lines}</ul><p>{invoice_total(order)}</p>"


def stock_page(stock):
    """What there is."""
    lines = "".join(f"<li>{name}: {stock.level(name)}</li>" for name in stock.names())
    return f"<ul>{lines}</ul>"
''',
    "warehouse/web/api.py": '''"""What programs are told."""

from warehouse.service.orders import place, total


def post_order(stock, lines):
    """Place an order and say what it costs."""
    order = place(stock, lines)
    return {"state": order.state, "total": total(order)}
''',
    "tests/test_money.py": """from warehouse.domain.money import add_tax, discount


def test_add_tax():
    assert add_tax(1000, rate=19) == 1190


def test_discount():
    assert discount(1000, percent=10) == 900
""",
    "tests/test_stock.py": """import pytest

from warehouse.domain.stock import Stock
from warehouse.service.reports import low_stock


def test_take():
    stock = Stock()
    stock.add("tea", 3)
    stock.take("tea", 2)
    assert stock.level("tea") == 1
    with pytest.raises(ValueError):
        stock.take("tea", 2)


def test_low_stock():
    stock = Stock()
    stock.add("tea", 5)
    stock.add("cup", 4)
    assert low_stock(stock) == ["cup"]
""",
    "tests/test_orders.py": """from warehouse.domain.stock import Stock
from warehouse.service.invoices import invoice_lines, invoice_total
from warehouse.service.orders import Order, place, total
from warehouse.web.api import post_order
from warehouse.web.pages import order_page, stock_page


def test_place():
    stock = Stock()
    stock.add("tea", 3)
    order = place(stock, [("tea", 2)])
    assert order.state == "placed" and stock.level("tea") == 1


def test_totals():
    order = Order([("tea", 2)])
    assert total(order) == invoice_total(order) == 1190
    assert total(order, percent=50) == 595
    assert invoice_lines(order) == ["2 x tea: 1190"]


def test_pages():
    stock = Stock()
    stock.add("tea", 7)
    assert post_order(stock, [("tea", 1)]) == {"state": "placed", "total": 595}
    assert stock_page(stock) == "<ul><li>tea: 6</li></ul>"
    assert order_page(Order([("cup", 1)])) == "<ul><li>1 x cup: 1428</li></ul><p>1428</p>"
""",
}


def changed(path: str, *replaced: tuple[str, str]) -> str:
    """A file's text with some parts replaced, each of which has to be there."""
    text = FILES[path]
    for old, new in replaced:
        if old not in text:
            raise ValueError(f"{path} does not hold {old!r}")
        text = text.replace(old, new)
    return text
