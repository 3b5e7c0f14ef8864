"""What the route table says of the query function is what it does."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from audit_core.query import DEFAULT_LIMIT, MAX_LIMIT, Search
from audit_core.query_parameters import FILTER_PARAMETERS, parse_search
from audit_functions.query.function import query_function
from audit_functions.query.routes import ROUTES
from audit_functions.settings import settings_from
from audit_functions.web.routes import Parameter

LIST, ONE = ROUTES


@pytest.mark.parametrize("parameter", LIST.parameters, ids=lambda parameter: parameter.name)
def test_every_documented_parameter_is_taken_with_its_example(parameter: Parameter) -> None:
    example = "token" if parameter.example is None else str(parameter.example)
    assert parse_search([(parameter.name, example)]) != Search()


def test_every_filter_is_documented_and_may_be_repeated() -> None:
    documented = {parameter.name for parameter in LIST.parameters if parameter.repeatable}
    assert documented == {parameter.name for parameter in FILTER_PARAMETERS}


def test_the_documented_default_and_maximum_of_limit_hold() -> None:
    [limit] = [parameter.schema for parameter in LIST.parameters if parameter.name == "limit"]
    assert (limit["default"], limit["maximum"]) == (DEFAULT_LIMIT, MAX_LIMIT)
    assert parse_search([]).limit == limit["default"]


def test_every_example_has_the_documented_shape() -> None:
    for route in ROUTES:
        for content in (content for reply in route.replies for content in reply.contents):
            assert isinstance(content.shape, type)
            assert content.examples
            for example in content.examples.values():
                msgspec.json.decode(msgspec.json.encode(example), type=content.shape)


def test_every_row_has_a_handler_and_needs_the_reading_scope() -> None:
    settings = settings_from({"AUDIT_FUNCTIONS": "query", "AUDIT_SHARDS": "/nowhere"})
    function = query_function(settings, CollectorRegistry())
    assert {route.operation_id for route in ROUTES} == set(function.handlers)
    assert {(route.scope, route.function) for route in ROUTES} == {("events:read", "query")}
