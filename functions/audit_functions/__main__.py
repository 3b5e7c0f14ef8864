"""`python -m audit_functions`: be what AUDIT_FUNCTIONS says, until SIGTERM."""

from __future__ import annotations

import os
import sys

from audit_functions import logs
from audit_functions.settings import InvalidSettings, settings_from


def main() -> None:
    """Read the settings and run."""
    try:
        settings = settings_from(os.environ)
    except InvalidSettings as error:
        sys.exit(f"audit_functions: {error}")
    logs.configure(settings.log_level)
    if settings.functions == ("writer",):
        from audit_functions.writer.run import run  # noqa: PLC0415 - the HTTP side needs none of what it imports

        run(settings)
        return
    from audit_functions.server import HttpProcess  # noqa: PLC0415 - as above

    HttpProcess(settings).run()


if __name__ == "__main__":
    main()
