"""A query string is understood in full or refused, with the name of the parameter that is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from audit_core.errors import InvalidQuery
from audit_core.query import MAX_LIMIT, Filters, Order, Search
from audit_core.query_parameters import (
    FILTER_PARAMETERS,
    MAX_VALUES,
    FilterParameter,
    parse_search,
    refuse_parameters,
)


def test_no_parameters_ask_for_the_newest_fifty() -> None:
    assert parse_search([]) == Search(filters=Filters(), order=Order.DESCENDING, limit=50, cursor=None)


@pytest.mark.parametrize("parameter", FILTER_PARAMETERS, ids=lambda parameter: parameter.name)
def test_each_filter_goes_to_its_column_under_all_its_names(parameter: FilterParameter) -> None:
    for name in (parameter.name, *parameter.also):
        filters = parse_search([(name, parameter.example)]).filters
        assert getattr(filters, parameter.column) == (parameter.example,)
        assert replace(filters, **{parameter.column: ()}) == Filters()


def test_a_filter_given_twice_takes_either_value_whatever_the_order() -> None:
    expected = Filters(event_type=("user_login", "user_logout"), actor_id=("u1", "u2"))
    for pairs in (
        [("event_type", "user_login"), ("event_type", "user_logout"), ("user_id", "u1"), ("actor", "u2")],
        [("actor_id", "u2"), ("user_id", "u1"), ("event_type", "user_logout"), ("event_type", "user_login")],
        [
            ("user_id", "u2"),
            ("user_id", "u1"),
            ("user_id", "u1"),
            *[("event_type", f"user_log{x}") for x in ("in", "out")],
        ],
    ):
        assert parse_search(pairs).filters == expected


def test_an_address_is_compared_in_its_normal_form() -> None:
    assert parse_search([("ip", "2001:DB8:0::7"), ("ip", "::ffff:192.0.2.1")]).filters.ip == (
        "192.0.2.1",
        "2001:db8::7",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T01:00:00.000001+01:00", 1),
        ("1970-01-01T01:00:00.000001 01:00", 1),  # the + was not encoded
        ("1970-01-01 00:00:00Z", 0),
    ],
)
def test_times_are_taken_with_any_zone(text: str, expected: int) -> None:
    assert parse_search([("from", text)]).filters == Filters(received_from=expected)
    assert parse_search([("to", text)]).filters == Filters(received_to=expected)


def test_order_limit_and_cursor_are_taken() -> None:
    assert parse_search([("order", "asc"), ("limit", "1000"), ("cursor", "x")]) == Search(
        order=Order.ASCENDING, limit=1000, cursor="x"
    )


REFUSED = [
    ("page", "2", "page", "cursor"),
    ("size", "10", "size", "limit"),
    ("offset", "10", "offset", "cursor"),
    ("start", "2026-01-01T00:00:00Z", "start", "from"),
    ("end", "2026-01-01T00:00:00Z", "end", "to"),
    ("evnt_type", "x", "evnt_type", "not a parameter"),
    ("", "x", "", "not a parameter"),
    ("received_from", "0", "received_from", "not a parameter"),
    ("n" * 5000, "x", "n" * 63 + "…", "not a parameter"),
    ("event_type", "", "event_type", "empty"),
    ("event_type", "user login", "event_type", "not an event type"),
    ("event_type", "user.*", "event_type", "not an event type"),
    ("event_type", "x" * 129, "event_type", "128"),
    ("user_id", "x" * 257, "user_id", "256"),
    ("actor_id", "", "actor_id", "empty"),
    ("resource_id", "a\0b", "resource_id", "NUL"),
    ("outcome", "ok", "outcome", "success"),
    ("outcome", "", "outcome", "success"),
    ("severity", "warn", "severity", "warning"),
    ("actor_type", "robot", "actor_type", "service_account"),
    ("ip", "300.1.1.1", "ip", "address"),
    ("ip", "fe80::1%eth0", "ip", "address"),
    ("from", "yesterday", "from", "RFC 3339"),
    ("from", "2026-01-01T00:00:00", "from", "zone"),
    ("from", "2026-01-01", "from", "RFC 3339"),
    ("to", "", "to", "RFC 3339"),
    ("order", "newest", "order", "asc or desc"),
    ("order", "ASC", "order", "asc or desc"),
    ("limit", "0", "limit", "1 to 1000"),
    ("limit", "1001", "limit", "1 to 1000"),
    ("limit", "-1", "limit", "1 to 1000"),
    ("limit", "10.0", "limit", "1 to 1000"),
    ("limit", "\u0661\u0660", "limit", "1 to 1000"),
    ("limit", "", "limit", "1 to 1000"),
    ("limit", "9" * 10_000, "limit", "1 to 1000"),
]


@pytest.mark.parametrize(("name", "text", "parameter", "reason"), REFUSED)
def test_what_no_event_can_match_is_refused(name: str, text: str, parameter: str, reason: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        parse_search([(name, text)])
    assert refused.value.parameter == parameter
    assert reason in refused.value.reason


@pytest.mark.parametrize("name", ["from", "to", "order", "limit", "cursor"])
def test_what_takes_one_value_is_refused_twice(name: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        parse_search([(name, "asc"), (name, "asc")])
    assert refused.value.fields() == {"parameter": name, "reason": "given more than once"}


@pytest.mark.parametrize(
    "ends",
    [("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00")],
)
def test_a_span_that_holds_no_time_is_refused(ends: tuple[str, str]) -> None:
    with pytest.raises(InvalidQuery) as refused:
        parse_search(zip(("from", "to"), ends, strict=True))
    assert refused.value.parameter == "to"


def test_the_values_of_one_column_are_bounded() -> None:
    values = [("user_id", f"u{n}") for n in range(MAX_VALUES)]
    assert len(parse_search(values).filters.actor_id) == MAX_VALUES
    with pytest.raises(InvalidQuery) as refused:
        parse_search([*values, ("actor", "one more")])
    assert refused.value.parameter == "actor"


def test_a_path_without_parameters_names_the_one_it_got() -> None:
    refuse_parameters([])
    with pytest.raises(InvalidQuery) as refused:
        refuse_parameters([("limit", "1")])
    assert refused.value.parameter == "limit"


NAMES = [name for parameter in FILTER_PARAMETERS for name in (parameter.name, *parameter.also)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*NAMES, "from", "to", "order", "limit", "cursor", "page"])
            | st.text(max_size=12),
            st.sampled_from(
                ["user_login", "success", "info", "user", "10.0.0.1", "asc", "7", "2026-01-01T00:00:00Z"]
            )
            | st.text(max_size=20),
        ),
        max_size=6,
    )
)
def test_any_parameters_are_a_search_or_an_error_that_names_one(pairs: list[tuple[str, str]]) -> None:
    outcome = _outcome(pairs)
    if isinstance(outcome, InvalidQuery):
        assert outcome.parameter in [name for name, _ in pairs]
    else:
        assert 1 <= outcome.limit <= MAX_LIMIT
        used = [column for column in Filters.__struct_fields__ if getattr(outcome.filters, column)]
        assert len(used) <= len(pairs)


def _outcome(pairs: list[tuple[str, str]]) -> Search | InvalidQuery:
    try:
        return parse_search(pairs)
    except InvalidQuery as refused:
        return refused
