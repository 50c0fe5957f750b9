from shop.cart import Cart, bill


def test_bill():
    cart = Cart()
    cart.add(1000, 2)
    assert bill(cart) == "2380 Cents"
