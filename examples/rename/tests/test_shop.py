from shop.basket import Basket
from shop.invoice import line


def test_total():
    basket = Basket()
    basket.put("tea", 1000, 2)
    assert basket.total(50) == 1190


def test_line():
    assert line("tea", 1000, 10) == "tea: 900"
