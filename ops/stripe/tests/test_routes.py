import pytest
import stripe

from ops.stripe import document
from ops.stripe.routes import ROUTES

# Stripe publishes no document of v2. These are held against the classes of its library.
NOT_IN_THE_DOCUMENT = {
    ("GET", "/v2/core/events"),
    ("GET", "/v2/core/events/{id}"),
    ("POST", "/v2/billing/meter_event_session"),
    ("POST", "/v2/billing/meter_event_stream"),
}


def test_every_path_is_stripe_s_and_the_document_holds_no_other():
    described = {
        (method.upper(), path) for path, methods in document.document()["paths"].items() for method in methods
    }
    assert set(ROUTES) - NOT_IN_THE_DOCUMENT == described
    assert set(ROUTES) >= NOT_IN_THE_DOCUMENT


@pytest.mark.parametrize(("method", "path"), sorted(set(ROUTES) - NOT_IN_THE_DOCUMENT))
def test_what_goes_in_and_comes_out_of_every_path_can_be_checked(method, path):
    assert not document.request_validator(method, path).is_valid([])
    assert not document.answer_validator(method, path).is_valid({"of": "no kind"})


def test_v2_says_what_the_classes_of_the_library_have(client, shop, control, tell):
    session = client.v2.billing.meter_event_session.create()
    assert set(session.to_dict()) | {"OBJECT_NAME"} == set(
        stripe.v2.billing.MeterEventSession.__annotations__
    )
    tell(1, "lost", customer="cus_of_nobody")
    control("turn")
    (event,) = client.v2.core.events.list(
        {"object_id": shop.meter.id, "types": ["v1.billing.meter.error_report_triggered"]}
    ).data
    known = stripe.events.V1BillingMeterErrorReportTriggeredEvent
    assert isinstance(event, known)
    assert set(event.to_dict()) <= {
        name for one in known.__mro__ for name in getattr(one, "__annotations__", {})
    }
    data = known.V1BillingMeterErrorReportTriggeredEventData
    assert set(event.data.to_dict()) == set(data.__annotations__) - {"_inner_class_types"}
    assert set(event.data.reason.to_dict()) == set(data.Reason.__annotations__) - {"_inner_class_types"}
    assert event.fetch_related_object().id == shop.meter.id
