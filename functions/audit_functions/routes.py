"""The route table: every operation of the API, whichever process serves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from audit_functions.ingest import routes as ingest
from audit_functions.query import routes as query
from audit_functions.web import process_routes as process
from audit_functions.web.openapi import openapi
from audit_functions.web.routes import Route

ROUTES: Final[tuple[Route, ...]] = (*ingest.ROUTES, *query.ROUTES, *process.ROUTES)

_TITLE: Final = "Audit log"
_VERSION: Final = "1"
_DESCRIPTION: Final = (
    "Records events so that nothing that was acknowledged is lost, no tenant sees another's, and nothing is altered"
    " unnoticed. The key names the tenant. Errors are RFC 9457 problems."
)


def document() -> Mapping[str, Any]:
    """Return the OpenAPI document of the whole API."""
    return openapi(ROUTES, title=_TITLE, version=_VERSION, description=_DESCRIPTION)
