"""Django's settings. What may differ between installations comes from `config.env`, and only from there."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from config import env
from console.appearance import UNFOLD as UNFOLD
from wire.addresses import LAYER_PREFIX

BASE_DIR = Path(__file__).resolve().parents[2]

try:
    env.check()
except env.EnvError as error:
    sys.exit(f"Stenogate cannot start.\n{error}")

DEBUG = env.DEBUG.read()
DEMO = env.DEMO.read()
SECRET_KEY = env.SECRET_KEY.read()
ALLOWED_HOSTS = list(env.ALLOWED_HOSTS.read())
REGION = env.REGION.read()
REDIS_URL = env.REDIS_URL.read()

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    # Its pages are found by `urls`: few processes have any.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django_prometheus",
    "ninja",  # for the scripts of its page, which would come from elsewhere otherwise
    "channels",
    "tenants",
    "regions",
    "metering",
    "gateway",
    "console",
]

MIDDLEWARE = [
    "gateway.rest.middleware.rest_middleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "console.middleware.staff_scope_in_admin",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# A server that dies without a word must not keep a thread waiting for as long as the kernel would.
_SOON_NOTICED: dict[str, int | str] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_database = urlsplit(env.DATABASE_URL.read())
DATABASE_ROLE = env.DATABASE_ROLE.read()
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(_database.path.lstrip("/")) or "stenogate",
        "USER": unquote(_database.username or ""),
        "PASSWORD": unquote(_database.password or ""),
        "HOST": _database.hostname or "",
        "PORT": str(_database.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # ?sslmode=require and the like are libpq's own options.
        "OPTIONS": {**_SOON_NOTICED, **dict(parse_qsl(_database.query))},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": LAYER_PREFIX},
    }
}

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 5, "socket_keepalive": True}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# In a process of their own: a customer's slow server must not hold up what is billed.
CELERY_TASK_ROUTES = {
    "gateway.deliver_callback": {"queue": "callbacks"},
    # Stripe may be slow or away, too. The same process serves both queues, each of them in turn.
    "metering.deliver": {"queue": "payments"},
    "metering.settle": {"queue": "payments"},
    "metering.handle_webhooks": {"queue": "payments"},
    "metering.end_grace": {"queue": "payments"},
}

AUTH_USER_MODEL = "tenants.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

_mail = urlsplit(env.MAIL_URL.read())
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if _mail.hostname else 'dummy'}.EmailBackend"
EMAIL_HOST = _mail.hostname or ""
EMAIL_PORT = _mail.port or (465 if _mail.scheme == "smtps" else 25)
EMAIL_HOST_USER = unquote(_mail.username or "")
EMAIL_HOST_PASSWORD = unquote(_mail.password or "")
EMAIL_USE_SSL = _mail.scheme == "smtps"
EMAIL_USE_TLS = _mail.scheme == "smtp" and bool(_mail.username)
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.MAIL_FROM.read()

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["console.formats"]
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
WHITENOISE_USE_FINDERS = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    # A 503 is said on purpose, and its body says why; it is no error of ours to be found in a log.
    "filters": {
        "unexpected": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(record, "status_code", None) != 503,
        }
    },
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["unexpected"]}
    },
    # Anybody can send a bad Host header as often as they like; the answer is a 400, and no line here.
    # The HTTP client logs every URL it calls, and a customer's URL may hold a signature or a password.
    # Stripe's library logs what Stripe says, which may hold parts of keys and names of customers.
    "loggers": {
        "django.security.DisallowedHost": {"handlers": [], "propagate": False},
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
        "urllib3": {"level": "ERROR"},
    },
    "root": {"handlers": ["stderr"], "level": env.LOG_LEVEL.read()},
}
