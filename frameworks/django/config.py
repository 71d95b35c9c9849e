"""Django's settings, for a project that is one module."""

import logging
import os
import sys
from typing import Any

import dj_database_url
import django
from django.apps import AppConfig
from django.conf import settings

from shared.failures import NameFailures

ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
SECRET_KEY = os.environ.get("SECRET_KEY", "")

SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ALLOWED_HOSTS.split(","),
    "APPEND_SLASH": False,
    # By default an exception in production is told to `ADMINS`: to nobody.
    "LOGGING": {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"failures": {"()": "shared.failures.NameFailures"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                # rule: findable
                "filters": ["failures"],
            },
        },
        "loggers": {"django": {"handlers": ["stderr"], "level": "ERROR"}},
    },
    "MIDDLEWARE": [
        "frameworks.django.problems.ProblemMiddleware",
        "django.middleware.common.CommonMiddleware",
        "frameworks.django.wsgi.chunked_bodies",
    ],
    "SECRET_KEY": SECRET_KEY,
    "TIME_ZONE": "UTC",
    "USE_TZ": True,
}


class ModuleConfig(AppConfig):
    """An app whose models are in the module itself."""

    def import_models(self) -> None:
        """Have `migrate --run-syncdb` look for tables here."""
        super().import_models()
        self.models_module = self.module


def configure(module: str, database_url: str, **options: Any) -> None:
    """Make a module the whole project: its only app, and its URLs.

    Call it before the first model class; `options` are further settings.
    """
    database = dj_database_url.parse(
        database_url, conn_max_age=60, conn_health_checks=True
    )
    project = {
        "DATABASES": {"default": database},
        "INSTALLED_APPS": [ModuleConfig(module, sys.modules[module])],
        "ROOT_URLCONF": module,
    }
    settings.configure(**SETTINGS | project | options)
    django.setup()
    # A stream that fails is logged by the server.
    # rule: stream-broken
    logging.getLogger("gunicorn.error").addFilter(NameFailures())
