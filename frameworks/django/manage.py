"""The usual `manage.py`, with debug pages, for a project that is one module.

python -m frameworks.django.manage MODULE runserver
"""

import os
import sys
from importlib import import_module

from django.conf import settings
from django.core.management import execute_from_command_line


def main() -> None:
    """Import the module, which configures Django, and run a command."""
    os.environ.setdefault("SECRET_KEY", "for debugging alone")
    program, module, *command = sys.argv
    import_module(module)
    settings.DEBUG = True
    execute_from_command_line([program, *command])


if __name__ == "__main__":
    main()
