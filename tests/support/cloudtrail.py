"""The recorded CloudTrail data, which lies beside the repository and is not part of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

CLOUDTRAIL: Final = Path(__file__).parents[3] / "shared" / "data" / "cloudtrail-2023.ndjson"
CLOUDTRAIL_RECORDS: Final = 2175

needs_cloudtrail: Final = pytest.mark.skipif(
    not CLOUDTRAIL.exists(),
    reason="the recorded CloudTrail data is absent (../shared/data/cloudtrail-2023.ndjson)",
)


def cloudtrail_records() -> list[dict[str, Any]]:
    """Return the records in the order of the file."""
    return [json.loads(line) for line in CLOUDTRAIL.read_text().splitlines()]
