from shop.prices import with_tax


def test_with_tax():
    assert with_tax(1000) == 1190
