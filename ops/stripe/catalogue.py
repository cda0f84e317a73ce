"""Products and prices."""

from __future__ import annotations

from decimal import Decimal

from ops.stripe import events
from ops.stripe.customers import not_served
from ops.stripe.errors import Refusal, no_such
from ops.stripe.store import Object, new_id
from ops.stripe.world import Call, created_within, merged_metadata, page

PRODUCT_PLAIN = ("active", "description", "name", "statement_descriptor", "unit_label", "url", "tax_code")
MAX_PLACES = 12


def create_product(call: Call) -> Object:
    given = call.params
    name = given.get("id") or new_id("prod", 14)
    if call.store.any(name):
        raise Refusal(f"Product already exists with id: {name}", code="resource_already_exists", param="id")
    if set(given) - {*PRODUCT_PLAIN, "metadata", "id", "expand", "type"}:
        raise not_served(set(given) - {*PRODUCT_PLAIN, "metadata", "id", "expand", "type"})
    product: Object = {
        "id": name,
        "object": "product",
        "created": call.now,
        "updated": call.now,
        "livemode": False,
        "default_price": None,
        "images": [],
        "marketing_features": [],
        "metadata": merged_metadata({}, given.get("metadata")),
        "package_dimensions": None,
        "shippable": None,
        **{part: given.get(part) for part in PRODUCT_PLAIN},
        "active": given.get("active", True),
    }
    call.store.put(product)
    events.emit(call.world, "product.created", product, call)
    return product


def retrieve_product(call: Call) -> Object:
    return call.find("product")


def update_product(call: Call) -> Object:
    product, given = call.find("product"), call.params
    if set(given) - {*PRODUCT_PLAIN, "metadata", "default_price", "expand"}:
        raise not_served(set(given) - {*PRODUCT_PLAIN, "metadata", "default_price", "expand"})
    product.update({part: given[part] for part in (*PRODUCT_PLAIN, "default_price") if part in given})
    product["metadata"] = merged_metadata(product["metadata"], given.get("metadata"))
    product["updated"] = call.now
    call.store.put(product)
    events.emit(call.world, "product.updated", product, call)
    return product


def list_products(call: Call) -> Object:
    found = created_within(call.store.all("product"), call.params.get("created"))
    if "active" in call.params:
        found = [one for one in found if one["active"] == call.params["active"]]
    if "ids" in call.params:
        found = [one for one in found if one["id"] in call.params["ids"]]
    return page(call, found)


PRICE_TAKEN = {
    "active", "currency", "expand", "lookup_key", "metadata", "nickname", "product", "recurring",
    "transfer_lookup_key", "unit_amount", "unit_amount_decimal", "billing_scheme", "tax_behavior",
}  # fmt: skip


def create_price(call: Call) -> Object:
    given = call.params
    if set(given) - PRICE_TAKEN:
        raise not_served(set(given) - PRICE_TAKEN)
    product = given.get("product")
    if product is None:
        raise Refusal("Missing required param: product.", code="parameter_missing", param="product")
    if call.store.get("product", product) is None:
        raise no_such("product", product, "product")
    amount = _amount(given)
    recurring = _recurring(call, given["recurring"]) if "recurring" in given else None
    price: Object = {
        "id": new_id("price"),
        "object": "price",
        "active": given.get("active", True),
        "billing_scheme": given.get("billing_scheme", "per_unit"),
        "created": call.now,
        "currency": given["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": _lookup_key(call, given.get("lookup_key"), given.get("transfer_lookup_key", False)),
        "metadata": merged_metadata({}, given.get("metadata")),
        "nickname": given.get("nickname"),
        "product": product,
        "recurring": recurring,
        "tax_behavior": given.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": int(amount) if amount == int(amount) else None,
        "unit_amount_decimal": format(amount.normalize(), "f"),
    }
    call.store.put(price)
    events.emit(call.world, "price.created", price, call)
    return price


def retrieve_price(call: Call) -> Object:
    return call.find("price")


def update_price(call: Call) -> Object:
    """What a price costs never changes."""
    price, given = call.find("price"), call.params
    taken = {"active", "lookup_key", "metadata", "nickname", "transfer_lookup_key", "expand", "tax_behavior"}
    if set(given) - taken:
        raise not_served(set(given) - taken)
    price.update({part: given[part] for part in ("active", "nickname", "tax_behavior") if part in given})
    if "lookup_key" in given:
        price["lookup_key"] = None
        call.store.put(price)
        price["lookup_key"] = _lookup_key(call, given["lookup_key"], given.get("transfer_lookup_key", False))
    price["metadata"] = merged_metadata(price["metadata"], given.get("metadata"))
    call.store.put(price)
    events.emit(call.world, "price.updated", price, call)
    return price


def list_prices(call: Call) -> Object:
    given, found = call.params, created_within(call.store.all("price"), call.params.get("created"))
    for name in ("active", "currency", "product", "type"):
        if name in given:
            found = [one for one in found if one[name] == given[name]]
    if "lookup_keys" in given:
        found = [one for one in found if one["lookup_key"] in given["lookup_keys"]]
    if "recurring" in given:
        wanted = given["recurring"].items()
        found = [o for o in found if o["recurring"] and all(o["recurring"][n] == v for n, v in wanted)]
    return page(call, found)


def _amount(given: Object) -> Decimal:
    if ("unit_amount" in given) == ("unit_amount_decimal" in given):
        raise Refusal(
            "You must specify either `unit_amount` or `unit_amount_decimal`, and not both.",
            param="unit_amount",
        )
    if "unit_amount" in given:
        return Decimal(given["unit_amount"])
    try:
        amount = Decimal(given["unit_amount_decimal"])
    except ArithmeticError:
        raise Refusal("Invalid decimal.", param="unit_amount_decimal") from None
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > MAX_PLACES:
        raise Refusal("At most 12 decimal places are allowed.", param="unit_amount_decimal")
    return amount


def _recurring(call: Call, given: Object) -> Object:
    usage = given.get("usage_type", "licensed")
    meter = given.get("meter")
    if usage == "metered" and meter is None:
        # Usage records are gone: a metered price without a meter could be told of no usage.
        raise Refusal(
            "Metered prices must be backed by meters.", code="parameter_missing", param="recurring[meter]"
        )
    if meter is not None:
        found = call.store.get("billing.meter", meter)
        if found is None:
            raise no_such("meter", meter, "recurring[meter]")
        if found["status"] != "active":
            raise Refusal(f"The meter {meter} is not active.", param="recurring[meter]")
        if usage != "metered":
            raise Refusal("A price with a meter must be metered.", param="recurring[usage_type]")
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": meter,
        "usage_type": usage,
    }


def _lookup_key(call: Call, key: str | None, transfer: bool) -> str | None:
    if not key:
        return None
    for price in call.store.all("price"):
        if price["lookup_key"] == key:
            if not transfer:
                raise Refusal(f"A price (`{price['id']}`) already uses that lookup key.", param="lookup_key")
            call.store.put({**price, "lookup_key": None})
    return key
