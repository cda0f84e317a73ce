"""The staff admin, through its pages."""

from __future__ import annotations

import re

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection, connections
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import reverse

from console.admin import base
from console.middleware import staff_scope_in_admin
from metering.models import Account, InferenceRecord, Invoice, LedgerEntry, PlanVersion, Receipt, UsageEvent
from tenants import scope, selectors, services
from tenants.limits import DEFAULT_PLAN, UNLIMITED, Limits
from tenants.models import APIKey, AuditEntry, Member, Plan, Project, Tenant, User
from tenants.scope import staff_scope, tenant_scope

pytestmark = pytest.mark.django_db

OURS = [
    model for model in admin.site._registry if model._meta.app_label in ("tenants", "metering", "regions")
]


@pytest.fixture
def browser(staff):
    client = Client()
    client.force_login(staff)
    return client


def page(model, name, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def text(response):
    return response.content.decode()


def of_staff(query):
    with staff_scope():
        return query()


# ---- who gets in


def test_a_member_is_no_staff(acme):
    client = Client()
    client.force_login(acme.owner.user)
    response = client.get(page(APIKey, "changelist"))
    assert response.status_code == 302
    assert "/admin/login/" in response.url


def test_signing_in_by_e_mail(staff):
    response = Client().post(
        reverse("admin:login"), {"username": "STAFF@stenogate.example", "password": "a-long-password"}
    )
    assert response.status_code == 302
    assert response.url == "/accounts/profile/" or response.url.startswith("/admin/")


def test_only_the_admin_sees_all_tenants(browser, acme, settings):
    seen = []

    def view(get_response):
        def handle(request):
            seen.append(scope.current())
            return get_response(request)

        return handle

    handle = staff_scope_in_admin(view(lambda request: HttpResponse()))
    for path, user in (
        ("/admin/", acme.owner.user),
        ("/v1/x", User(is_staff=True)),
        ("/admin/x", User(is_staff=True)),
    ):
        request = RequestFactory().get(path)
        request.user = user
        handle(request)
    assert seen == [None, None, scope.Scope(None)]
    assert scope.current() is None


def test_what_fails_leaves_nothing_half_done(acme):
    def fails(request):
        services.create_project(acme.tenant, "Half")
        return HttpResponse(status=500)

    request = RequestFactory().get("/admin/")
    request.user = User(is_staff=True)
    staff_scope_in_admin(fails)(request)
    assert not of_staff(lambda: Project.objects.filter(name="Half").exists())


@pytest.mark.django_db(transaction=True)
async def test_it_works_under_asgi_too(acme, rival, staff):
    client = AsyncClient()
    await client.aforce_login(staff)
    response = await client.get(page(Tenant, "changelist"))
    await sync_to_async(connections.close_all)()  # those of the thread that answered
    assert response.status_code == 200
    assert "Acme" in text(response)
    assert "Rival" in text(response)


# ---- what is shown


def test_every_model_with_a_tenant_has_its_pages():
    missing = {
        model._meta.label
        for model in apps.get_models()
        if model not in OURS and (model is Tenant or any(f.name == "tenant" for f in model._meta.fields))
    }
    assert missing == set()


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_lists_and_searches_answer(browser, acme, rival, model):
    for query in ("", "?q=acme", "?q=sk_x", "?q=%00%25_'", "?o=1", "?p=1"):
        response = browser.get(page(model, "changelist") + query)
        assert response.status_code == 200, query


@pytest.mark.parametrize(
    "model", [Tenant, Project, APIKey, Member, AuditEntry, User, Plan], ids=lambda m: m.__name__
)
def test_a_row_has_its_page_and_no_page_shows_a_hash(browser, acme, rival, model):
    row = of_staff(model.objects.first)
    for url in (page(model, "change", row.pk), page(model, "history", row.pk), page(model, "changelist")):
        response = browser.get(url)
        assert response.status_code == 200, url
        for key in (acme, rival):
            digest = selectors.find_grant(key.key.prefix).sha256
            for shape in (
                key.secret,
                key.secret.split("_")[2],
                digest.hex(),
                str(digest),
                str(memoryview(digest)),
            ):
                assert shape not in text(response)


def test_keys_are_found_by_prefix_name_tenant_and_project(browser, acme, rival):
    def found(query):
        body = text(browser.get(page(APIKey, "changelist"), {"q": query}))
        return {h.tenant.slug for h in (acme, rival) if f"sk_{h.key.prefix}…" in body}

    assert found(acme.key.prefix[:6]) == found(f"sk_{acme.key.prefix}") == found(acme.secret) == {"acme"}
    assert found("RIV") == {"rival"}
    assert found("server riv") == {"rival"}
    assert found("calls") == {"acme", "rival"}
    assert found("nothing") == set()


def test_keys_are_filtered_by_state(browser, acme, rival):
    services.revoke_key(acme.key)
    body = text(browser.get(page(APIKey, "changelist"), {"state": "revoked"}))
    assert f"sk_{acme.key.prefix}…" in body
    assert f"sk_{rival.key.prefix}…" not in body
    for state in ("active", "expired", "replaced"):
        assert f"sk_{acme.key.prefix}…" not in text(browser.get(page(APIKey, "changelist"), {"state": state}))


def test_a_list_costs_no_query_a_row(browser, acme, django_assert_max_num_queries):
    for n in range(20):
        services.issue_key(acme.project, name=f"Key {n}")
    with django_assert_max_num_queries(12):
        browser.get(page(APIKey, "changelist"))


def test_a_large_table_is_estimated_and_what_is_filtered_is_counted(acme, rival, monkeypatch):
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("ANALYZE tenants_apikey")
        cursor.execute("SET ROLE stenogate_app")
    pages = base.EstimatingPaginator(APIKey.objects.order_by("id"), 50)
    assert pages.count == 0  # counted: outside of any scope there is nothing
    monkeypatch.setattr(base, "COUNT_EXACTLY", 1)
    assert base.EstimatingPaginator(APIKey.objects.order_by("id"), 50).count == 2
    assert base.EstimatingPaginator(APIKey.objects.filter(name="Server"), 50).count == 0


def test_the_first_page_counts_and_tells_what_was_done(browser, acme, rival):
    body = text(browser.get(reverse("admin:index")))
    assert "key.issued" in body
    assert re.search(r"API keys.*?>\s*2\s*<", body, re.DOTALL)


def test_projects_are_chosen_with_the_name_of_their_tenant(browser, acme, rival):
    asked = {"term": "calls", "app_label": "tenants", "model_name": "apikey", "field_name": "project"}
    answer = browser.get(reverse("admin:autocomplete"), asked).json()
    assert sorted(row["text"] for row in answer["results"]) == ["Acme / Calls", "Rival / Calls"]
    asked = {"term": "riv", "app_label": "tenants", "model_name": "apikey", "field_name": "tenant"}
    assert browser.get(reverse("admin:autocomplete"), asked).json()["results"][0]["text"] == "Rival"


# ---- what is done


def test_an_issued_key_is_shown_once(browser, acme, staff):
    response = browser.post(
        page(APIKey, "add"),
        {"project": acme.project.id, "name": "Web", "scopes": ["listen", "usage:read"],
         "allowed_origins": "https://App.example.com\nhttp://localhost:3000",
         "expires_at_0": "2090-01-01", "expires_at_1": "00:00"},
    )  # fmt: skip
    assert response.status_code == 200
    (secret,) = set(re.findall(r"sk_\w{12}_\w{40}", text(response)))
    grant = selectors.find_key(secret, scope="usage:read", origin="http://localhost:3000")
    assert grant.allowed_origins == {"https://app.example.com", "http://localhost:3000"}
    assert "no-store" in response["Cache-Control"]
    assert secret not in str(response.cookies)
    for url in (
        page(APIKey, "changelist"),
        page(APIKey, "change", grant.key_id),
        page(APIKey, "history", grant.key_id),
    ):
        assert secret not in text(browser.get(url))
    with tenant_scope(acme.tenant.id):
        assert APIKey.objects.get(id=grant.key_id).issued_by == staff
        assert AuditEntry.objects.get(subject=grant.key_id).actor == f"staff {staff}"


@pytest.mark.parametrize(
    "wrong", [{"allowed_origins": "app.example.com"}, {"scopes": []}, {"scopes": ["root"]}, {"name": " "},
              {"expires_at_0": "2001-01-01", "expires_at_1": "00:00"}],
)  # fmt: skip
def test_a_key_that_makes_no_sense_is_not_issued(browser, acme, rival, wrong):
    given = {"project": acme.project.id, "name": "Web", "scopes": ["listen"], "allowed_origins": "", **wrong}
    response = browser.post(page(APIKey, "add"), given, follow=True)
    assert response.status_code == 200
    assert "sk_" not in text(response)
    assert of_staff(APIKey.objects.count) == 2


def test_revoking_asks_first(browser, acme):
    url = page(APIKey, "change", acme.key.id).replace("change/", "revoke/")
    assert "refused everywhere" in text(browser.get(url))
    assert selectors.find_key(acme.secret)
    assert browser.post(url, follow=True).status_code == 200
    with pytest.raises(Exception, match="revoked"):
        selectors.find_key(acme.secret)
    assert browser.post(url).status_code == 403


def test_many_are_revoked_at_once(browser, acme, rival):
    browser.post(
        page(APIKey, "changelist"),
        {"action": "revoke_selected", "_selected_action": [acme.key.id, rival.key.id]},
    )
    assert of_staff(APIKey.objects.filter(revoked_at=None).count) == 0
    assert of_staff(AuditEntry.objects.filter(action="key.revoked").count) == 2


def test_rotating_shows_the_new_key_once_and_leaves_the_old_for_a_day(browser, acme):
    url = page(APIKey, "change", acme.key.id).replace("change/", "rotate/")
    assert "24 hours" in text(browser.get(url))
    (secret,) = set(re.findall(r"sk_\w{12}_\w{40}", text(browser.post(url))))
    assert selectors.find_key(secret)
    assert selectors.find_key(acme.secret).expires_at is not None
    assert browser.post(url).status_code == 403


def test_a_tenant_is_made_suspended_and_reactivated(browser, acme):
    browser.post(
        page(Tenant, "add"), {"name": "Third", "slug": "third", "plan": DEFAULT_PLAN, "residency": "any"}
    )
    assert of_staff(Tenant.objects.filter(slug="third").exists)
    change = page(Tenant, "change", acme.tenant.id)
    browser.post(change.replace("change/", "suspend/"))
    with pytest.raises(Exception, match="suspended"):
        selectors.find_key(acme.secret)
    browser.post(change.replace("change/", "reactivate/"))
    assert selectors.find_key(acme.secret)


def test_a_project_is_made_and_archived(browser, acme):
    browser.post(page(Project, "add"), {"tenant": acme.tenant.id, "name": "Second"})
    assert of_staff(Project.objects.filter(name="Second", tenant=acme.tenant).exists)
    browser.post(page(Project, "change", acme.project.id).replace("change/", "archive/"))
    with pytest.raises(Exception, match="revoked"):
        selectors.find_key(acme.secret)


def test_members_come_change_and_go_and_the_last_owner_stays(browser, acme):
    bob = User.objects.create_user("bob@acme.example")
    browser.post(page(Member, "add"), {"tenant": acme.tenant.id, "user": bob.id, "role": "developer"})
    member = of_staff(lambda: Member.objects.get(user=bob))
    browser.post(page(Member, "change", member.id), {"role": "billing"})
    assert of_staff(lambda: Member.objects.get(user=bob).role) == "billing"
    browser.post(page(Member, "delete", member.id), {"post": "yes"})
    assert not of_staff(Member.objects.filter(user=bob).exists)
    for url, data in ((page(Member, "change", acme.owner.id), {"role": "admin"}),
                      (page(Member, "delete", acme.owner.id), {"post": "yes"})):  # fmt: skip
        assert "needs an owner" in text(browser.post(url, data, follow=True))
    assert of_staff(lambda: Member.objects.get(id=acme.owner.id).role) == "owner"


def test_a_plan_is_made_given_and_changed(browser, acme, rival, staff):
    made = {"name": "Small", "slug": "small", "streams_at_once": "5", "audio_hours_a_day": "0.5"}
    browser.post(page(Plan, "add"), made)
    plan = Plan.objects.get(slug="small")
    changed = {"plan": plan.id, "name": "Renamed", "residency": "any"}
    browser.post(page(Tenant, "change", acme.tenant.id), changed)
    browser.post(page(Plan, "change", plan.id), {"name": "Small", "streams_at_once": "6", "slug": "other"})
    assert "Small" in text(browser.get(page(Plan, "changelist")))
    found = selectors.find_grant(acme.key.prefix)
    assert (found.plan, found.plan_limits) == ("Small", Limits(streams_at_once=6))
    assert selectors.find_grant(rival.key.prefix).plan == "Default"
    with tenant_scope(acme.tenant.id):
        assert Tenant.objects.get().name == "Acme"
        told = AuditEntry.objects.filter(actor=f"staff {staff}").values_list("action", flat=True)
        assert set(told) == {"tenant.plan_changed", "plan.changed"}
    assert browser.post(page(Plan, "delete", plan.id), {"post": "yes"}).status_code == 403
    refused = browser.post(page(Plan, "add"), made | {"slug": "third", "streams_at_once": "0"})
    assert "greater than or equal to 1" in text(refused)


def test_a_project_gets_limits_of_its_own(browser, acme, rival):
    changed = {"name": "Renamed", "tenant": rival.tenant.id, "requests_a_second": "7"}
    browser.post(page(Project, "change", acme.project.id), changed)
    found = selectors.find_grant(acme.key.prefix)
    assert (found.tenant_id, found.project_limits) == (acme.tenant.id, Limits(requests_a_second=7))
    assert selectors.find_grant(rival.key.prefix).project_limits == UNLIMITED


def test_rows_that_are_records_have_no_form(browser, acme):
    entry = of_staff(AuditEntry.objects.first)
    assert browser.get(page(AuditEntry, "add")).status_code == 403
    assert browser.post(page(AuditEntry, "change", entry.id), {"actor": "x"}).status_code == 403
    assert browser.post(page(APIKey, "change", acme.key.id), {"name": "x"}).status_code == 403
    assert browser.post(page(APIKey, "delete", acme.key.id), {"post": "yes"}).status_code == 403


def test_of_billing_only_an_account_s_settings_are_written_here(rf, staff):
    request = rf.get("/admin/")
    request.user = staff
    billing = {
        model: page for model, page in admin.site._registry.items() if model._meta.app_label == "metering"
    }
    assert {LedgerEntry, InferenceRecord, Invoice, Receipt, PlanVersion, UsageEvent} < set(billing)
    for model, page in billing.items():
        assert not page.has_add_permission(request), model
        assert not page.has_delete_permission(request), model
        assert page.has_change_permission(request) == (model is Account), model
        assert page.get_actions(request) == {}, model
        for inline in page.get_inline_instances(request):
            assert not inline.has_add_permission(request), model
            assert not inline.has_change_permission(request), model


def test_users_are_made_and_given_a_password(browser):
    browser.post(
        page(User, "add"),
        {"email": "New@Example.com", "password1": "a-long-secret-1", "password2": "a-long-secret-1"},
    )
    assert User.objects.get(email="new@example.com").check_password("a-long-secret-1")


def test_staff_with_few_rights_do_not_get_more(acme, staff):
    helper = User.objects.create_user("helper@stenogate.example", is_staff=True)
    for codename in ("view_user", "change_user", "view_apikey"):
        helper.user_permissions.add(Permission.objects.get(codename=codename))
    client = Client()
    client.force_login(helper)
    client.post(
        page(User, "change", helper.id),
        {"email": helper.email, "is_superuser": "on", "is_staff": "on", "is_active": "on"},
    )
    helper.refresh_from_db()
    assert not helper.is_superuser
    change = page(User, "change", staff.id)
    assert client.post(change, {"email": "mine@example.com"}).status_code == 403
    stolen = {"password1": "stolen-secret-1", "password2": "stolen-secret-1"}
    assert client.post(reverse("admin:auth_user_password_change", args=[staff.id]), stolen).status_code == 403
    assert client.get(page(APIKey, "changelist")).status_code == 200
    assert client.get(page(APIKey, "add")).status_code == 403
    for verb in ("revoke", "rotate"):
        assert (
            client.post(page(APIKey, "change", acme.key.id).replace("change/", f"{verb}/")).status_code == 403
        )
