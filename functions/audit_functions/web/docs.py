"""The interactive API page. Everything that it needs comes from this host; nothing inline is run."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from audit_core.errors import NotFound

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {"content-security-policy": _POLICY, "x-frame-options": "DENY"}
_KEPT: Final = {**_HEADERS, "cache-control": "public, max-age=3600"}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit log API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
# The files of Swagger UI, by the name that the page asks for. Their package is not imported: it would hold three
# such pages in memory.
_PACKAGE: Final = "offapi"
_FILES: Final = {
    "swagger-ui.js": ("swagger_bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger_style.css", "text/css"),
}


async def docs_page(request: Request) -> Response:  # noqa: ARG001 - the signature of a handler
    """Answer the page."""
    return Response(_PAGE, media_type="text/html", headers=_HEADERS)


async def docs_file(request: Request) -> Response:
    """Answer one of the page's files. Raises NotFound."""
    name = request.path_params["name"]
    if name == "start.js":
        return Response(_START, media_type="text/javascript", headers=_KEPT)
    if name not in _FILES:
        raise NotFound("page")
    file, media = _FILES[name]
    return Response(_content(file), media_type=media, headers=_KEPT)


@cache
def _content(file: str) -> bytes:
    """Return a file's bytes, the same object each time, so that slow readers do not each hold a copy."""
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise NotFound("page")
    return (Path(found.origin).parent / file).read_bytes()
