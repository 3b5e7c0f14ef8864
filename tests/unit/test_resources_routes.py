"""What of a tenant's functions is reached from outside: what the API page promises, and not what asks for no credential."""

from __future__ import annotations

import pytest

from audit_functions.ingest.routes import ROUTES as INGEST
from audit_functions.query.routes import ROUTES as QUERY
from audit_functions.web.process_routes import ROUTES as PROCESS
from audit_operator.resources.platform import Manifest
from audit_operator.resources.tenant import manifests
from tests.support.manifests import a_known_tenant, a_platform

HIDDEN = {"/healthz", "/readyz", "/metrics"}
OPEN = [each.path for each in PROCESS if each.path not in HIDDEN]


def _led_to(method: str, path: str) -> str | None:
    """Return the Service that a request comes to, by the rules of a PathPrefix: whole elements of the path."""
    route = next(each for each in manifests(a_known_tenant(), a_platform()) if each["kind"] == "HTTPRoute")
    found = [
        rule["backendRefs"][0]["name"]
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if match["method"] == method and _is_below(path, match["path"])
    ]
    assert len(found) < 2
    return found[0] if found else None


def _is_below(path: str, wanted: Manifest) -> bool:
    assert wanted["type"] == "PathPrefix"
    return f"{path}/".startswith(f"{wanted['value']}/")


def test_the_table_of_routes_is_known() -> None:
    assert {each.path for each in PROCESS} >= HIDDEN


@pytest.mark.parametrize("path", sorted({each.path for each in INGEST}))
def test_what_is_posted_comes_to_ingest(path: str) -> None:
    assert _led_to("POST", path) == "ingest"


@pytest.mark.parametrize("path", sorted({each.path for each in QUERY} | {"/docs/swagger-ui.js", *OPEN}))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_read_comes_to_query(method: str, path: str) -> None:
    assert _led_to(method, path) == "query"


@pytest.mark.parametrize("path", sorted(HIDDEN))
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_what_supervisors_ask_is_not_for_those_outside(method: str, path: str) -> None:
    assert _led_to(method, path) is None


def test_no_route_ends_a_stream_of_lines_before_its_end() -> None:
    route = next(each for each in manifests(a_known_tenant(), a_platform()) if each["kind"] == "HTTPRoute")
    assert [rule["timeouts"] for rule in route["spec"]["rules"]] == [{"request": "0s"}, {"request": "0s"}]
