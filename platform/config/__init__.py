"""Settings, environment, URLs, ASGI and Celery: how the parts are put together."""
