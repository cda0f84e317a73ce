"""How the staff admin looks: names, colours, navigation."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _link(title: str, icon: str, model: str) -> dict[str, Any]:
    permission = "{}.view_{}".format(*model.split("_"))
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{model}_changelist"),
        "permission": lambda request: request.user.has_perm(permission),
    }


def _section(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": list(items)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Stenogate",
    "SITE_HEADER": "Stenogate",
    "SITE_SUBHEADER": "Staff administration",
    "SITE_SYMBOL": "graphic_eq",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/icon.svg")}
    ],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "console.dashboard.environment",
    "DASHBOARD_CALLBACK": "console.dashboard.context",
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.7)",
            "100": "oklch(95.3% .051 180.8)",
            "200": "oklch(91% .096 180.4)",
            "300": "oklch(85.5% .138 181.1)",
            "400": "oklch(77.7% .152 181.9)",
            "500": "oklch(70.4% .14 182.5)",
            "600": "oklch(52% .104 184.7)",
            "700": "oklch(46.5% .092 185.5)",
            "800": "oklch(41% .078 188.2)",
            "900": "oklch(36% .063 188.4)",
            "950": "oklch(27.7% .046 192.5)",
        }
    },
    "SIDEBAR": {
        "show_search": False,
        "navigation": [
            {
                "items": [
                    {"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")},
                ]
            },
            _section(
                "Tenants",
                _link("Tenants", "apartment", "tenants_tenant"),
                _link("Projects", "folder", "tenants_project"),
                _link("API keys", "key", "tenants_apikey"),
                _link("Plans", "tune", "tenants_plan"),
                _link("Prices", "sell", "metering_planversion"),
                _link("Members", "group", "tenants_member"),
            ),
            _section(
                "Billing",
                _link("Accounts", "account_balance_wallet", "metering_account"),
                _link("Invoices", "request_quote", "metering_invoice"),
                _link("Ledger", "menu_book", "metering_ledgerentry"),
                _link("Receipts", "verified", "metering_receipt"),
                _link("Reconciliations", "balance", "metering_reconciliation"),
                _link("Differences", "difference", "metering_difference"),
                _link("Meter intents", "outbox", "metering_meterintent"),
                _link("Webhook events", "webhook", "metering_webhookevent"),
            ),
            _section(
                "Regions",
                _link("Regions", "public", "regions_region"),
                _link("Gateways", "router", "regions_gateway"),
                _link("Flags", "flag", "regions_flag"),
                _link("Configuration", "settings_backup_restore", "regions_change"),
            ),
            _section(
                "Records",
                _link("Usage events", "speed", "metering_usageevent"),
                _link("Requests", "receipt_long", "metering_request"),
                _link("Audit log", "history", "tenants_auditentry"),
            ),
            _section(
                "People",
                _link("Users", "person", "tenants_user"),
                _link("Staff groups", "shield_person", "auth_group"),
            ),
        ],
    },
}
