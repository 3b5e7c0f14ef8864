"""Send one event, read it back by its id, and say so. Run by `helm test` in the functions' image."""

import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

LOGS = "/api/v1/audit/logs"


def answered(url: str, body: bytes | None = None) -> Any:
    """Return the JSON that the service answers. The first answer waits until the event is in the database."""
    headers = {
        "Authorization": f"Bearer {os.environ['KEY']}",
        "Content-Type": "application/json",
        "Prefer": "wait=committed",
    }
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - the chart gives the address
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
        return json.load(response)


def main() -> None:
    """Exit with a sentence unless the event that is read is the one that was sent."""
    sent = {"event_type": "helm.test", "user_id": "helm", "resource_id": "release"}
    try:
        accepted = answered(os.environ["INGEST"] + LOGS, json.dumps(sent).encode())
        event = answered(f"{os.environ['QUERY']}{LOGS}/{accepted['id']}")
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.url} answered {error.code}: {error.read().decode()}")
    except OSError as error:
        sys.exit(f"no answer: {error}")
    if event.get("event_type") != sent["event_type"]:
        sys.exit(f"another event was read: {event}")
    sys.stdout.write(f"sent and read back: {event['id']}\n")


if __name__ == "__main__":
    main()
