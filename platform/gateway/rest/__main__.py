"""`python -m gateway.rest` prints the OpenAPI document: `make docs`."""

from __future__ import annotations

import os

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    # It imports models, which exist only now.
    from gateway.rest import openapi

    print(openapi.text(), end="")
