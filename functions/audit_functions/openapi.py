"""`python -m audit_functions.openapi`: write the OpenAPI document to docs/openapi.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from audit_functions.routes import document

FILE: Final = Path(__file__).parents[2] / "docs" / "openapi.json"


def text() -> str:
    """Return the document as it is committed."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
