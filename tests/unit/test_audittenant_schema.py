"""The CustomResourceDefinition and the structs describe one and the same resource."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from audit_core.tenant import NAME_MAX_CHARS, RESERVED_NAMES
from audit_operator.model.audittenant import AuditTenant, Spec
from audit_operator.model.conditions import ConditionType
from audit_operator.model.decoding import audit_tenant
from audit_operator.model.invalid import InvalidResource
from audit_operator.model.quantity import BYTES_PATTERN, RESOURCE_PATTERN, ByteQuantity, ResourceQuantity
from tests.support.audittenant import a_tenant_resource
from tests.support.crd import spec_schema, whole_schema
from tests.support.refused_tenants import RefusedTenant, refused_tenants

UNSET: Final = "unset"
UNSERVED: Final = {"QuotaExceeded", "Verified"}
"""Conditions that have their place in the closed list and that nothing sets yet."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a field may hold, without its name and its words."""

    type: str
    default: Any = UNSET
    least: int | None = None
    most: int | None = None
    longest: int | None = None
    choices: tuple[Any, ...] = ()


def _of_schema(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, Shape]]:
    for name, field in schema.get("properties", {}).items():
        place = f"{path}.{name}".lstrip(".")
        yield place, _shape(field)
        yield from _of_schema(field, place)
        for key, inner in (("items", "[]"), ("additionalProperties", "{}")):
            if key in field:
                yield f"{place}{inner}", _shape(field[key])
                yield from _of_schema(field[key], f"{place}{inner}")


def _shape(field: dict[str, Any]) -> Shape:
    quantity = field.get("x-kubernetes-int-or-string", False)
    return Shape(
        type="quantity" if quantity else field["type"],
        default=UNSET if "properties" in field else field.get("default", UNSET),
        least=field.get("minimum"),
        most=field.get("maximum"),
        # A quantity is bounded for the sake of the server's cost estimate; its form bounds it in the model.
        longest=None if quantity else _longest(field),
        choices=tuple(sorted(field.get("enum", ()), key=str)),
    )


def _longest(field: dict[str, Any]) -> int | None:
    return next((field[key] for key in ("maxLength", "maxItems", "maxProperties") if key in field), None)


def _of_struct(struct: inspect.StructType, path: str = "") -> Iterator[tuple[str, Shape]]:
    for field in struct.fields:
        place = f"{path}.{field.encode_name}".lstrip(".")
        of_value = _bare(field.type)
        yield place, _shape_of(of_value, _default(field))
        yield from _inside(of_value, place)


def _inside(of_value: inspect.Type, place: str) -> Iterator[tuple[str, Shape]]:
    match of_value:
        case inspect.StructType():
            yield from _of_struct(of_value, place)
        case inspect.VarTupleType(item_type=item):
            yield f"{place}[]", _shape_of(_bare(item), UNSET)
            yield from _inside(_bare(item), f"{place}[]")
        case inspect.DictType(value_type=value):
            yield f"{place}{{}}", _shape_of(_bare(value), UNSET)
        case _:
            return


def _bare(annotated: inspect.Type) -> inspect.Type:
    """Return the type without None, which means in the model that the field is absent."""
    if not isinstance(annotated, inspect.UnionType):
        return annotated
    (only,) = (each for each in annotated.types if not isinstance(each, inspect.NoneType))
    return only


def _default(field: inspect.Field) -> Any:
    value = field.default_factory() if callable(field.default_factory) else field.default
    if value is None or isinstance(value, msgspec.Struct):
        return UNSET
    return msgspec.to_builtins(value)


def _shape_of(of_value: inspect.Type, default: Any) -> Shape:
    match of_value:
        case inspect.IntType(ge=least, le=most):
            return Shape(type="integer", default=default, least=least, most=most)
        case inspect.StrType(max_length=longest):
            return Shape(type="string", default=default, longest=longest)
        case inspect.EnumType(cls=enum):
            return Shape(type="string", default=default, choices=tuple(sorted(each.value for each in enum)))
        case inspect.LiteralType(values=values):
            of_values = "integer" if isinstance(values[0], int) else "string"
            return Shape(type=of_values, default=default, choices=tuple(sorted(values, key=str)))
        case inspect.VarTupleType(max_length=longest):
            return Shape(type="array", default=list(default), longest=longest)
        case inspect.DictType(max_length=longest):
            return Shape(type="object", default=default, longest=longest)
        case inspect.CustomType(cls=custom) if custom in (ByteQuantity, ResourceQuantity):
            return Shape(type="quantity", default=default)
        case inspect.StructType():
            return Shape(type="object")
        case _:
            raise AssertionError(f"the test does not know {of_value}")


def _completed(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Fill in defaults as the API server does: a field's own first, then what is nested in it."""
    filled = dict(value)
    for name, field in schema.get("properties", {}).items():
        if name not in filled and "default" in field:
            filled[name] = field["default"]
        if isinstance(filled.get(name), dict):
            filled[name] = _completed(field, filled[name])
    return filled


def _described(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    yield path, schema.get("description", "")
    for name, field in schema.get("properties", {}).items():
        yield from _described(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from _described(schema[key], f"{path}[]")


def _messages(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for rule in schema.get("x-kubernetes-validations", ()):
            yield rule["message"]
        for inner in schema.values():
            yield from _messages(inner)


def test_schema_and_struct_have_the_same_fields_types_defaults_bounds_and_choices() -> None:
    struct = inspect.type_info(Spec)
    assert isinstance(struct, inspect.StructType)
    assert dict(_of_schema(spec_schema())) == dict(_of_struct(struct))


@pytest.mark.parametrize(
    "spec",
    [{}, {"ingest": {"autoscaling": {}, "resources": {}}, "query": {"autoscaling": {}}}],
    ids=["empty", "with-optional-parts"],
)
def test_the_defaults_of_the_schema_decode_to_those_of_the_struct(spec: dict[str, Any]) -> None:
    completed = _completed(spec_schema(), spec)
    assert audit_tenant(a_tenant_resource(**completed)) == audit_tenant(a_tenant_resource(**spec))
    assert completed != spec


def test_every_field_is_described_in_a_sentence() -> None:
    described = dict(_described(whole_schema(), "AuditTenant"))
    del described["AuditTenant.metadata"]  # the API server allows no words there
    assert [path for path, text in described.items() if not text.endswith(".")] == []


def test_every_rule_says_in_words_what_is_wrong() -> None:
    messages = list(_messages(whole_schema()))
    assert len(messages) > 20
    assert all(len(message) > 15 and "self" not in message for message in messages)


def test_every_rule_that_one_resource_can_break_alone_is_broken_by_an_example() -> None:
    of_changes = {
        "isolation cannot be changed; create a new tenant and import",
        "a Pooled tenant's retention cannot be changed; create a new tenant and import",
        "partitionBy cannot be changed; create a new tenant and import",
    }
    of_status = {message for message in _messages(whole_schema()) if message.startswith("adopt counts when")}
    told = {each.server for each in refused_tenants()}
    assert len(of_status) == 1
    assert set(_messages(whole_schema())) - of_changes - of_status - told == set()


def test_reserved_names_and_the_length_of_names_are_those_of_the_core() -> None:
    length, reserved, _ = whole_schema()["x-kubernetes-validations"]
    assert f"<= {NAME_MAX_CHARS} " in length["rule"]
    assert reserved["rule"] == f"!(self.metadata.name in {sorted(RESERVED_NAMES)})"


def test_forms_are_those_of_the_model() -> None:
    def form(field: dict[str, Any]) -> str:
        rule: str = field["x-kubernetes-validations"][0]["rule"]
        return rule.split("matches('^")[1].removesuffix("$')").replace("[.]", r"\.").replace("[-+]", "[+-]")

    spec = spec_schema()["properties"]
    resources = spec["ingest"]["properties"]["resources"]["properties"]
    assert form(spec["stream"]["properties"]["maxBytes"]) == BYTES_PATTERN.replace("(?:", "(")
    assert form(resources["requests"]["additionalProperties"]) == RESOURCE_PATTERN.replace("(?:", "(")


def test_the_conditions_are_the_closed_list_and_those_that_are_set_are_explained() -> None:
    conditions = whole_schema()["properties"]["status"]["properties"]["conditions"]
    known = set(conditions["items"]["properties"]["type"]["enum"])
    assert known == {each.value for each in ConditionType} | UNSERVED
    explained = {word for word in known if word in conditions["description"]}
    assert explained == known - UNSERVED


@pytest.mark.parametrize("refused", refused_tenants(), ids=lambda refused: refused.case)
def test_the_model_refuses_what_the_api_server_refuses(refused: RefusedTenant) -> None:
    with pytest.raises(InvalidResource) as caught:
        audit_tenant(refused.resource)
    assert [(each.path, each.reason) for each in caught.value.problems] == [(refused.path, refused.reason)]


def test_the_status_of_a_resource_is_no_business_of_the_model() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(AuditTenant)}
    assert fields == set(whole_schema()["properties"])
