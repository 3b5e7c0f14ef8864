"""Objects on a real API server: who owns which field, what a precondition stops, and what a rehearsal leaves behind."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from audit_operator.clients.events import Events
from audit_operator.clients.kubernetes import Kubernetes, NoLongerLeading
from audit_operator.clients.kubernetes_errors import (
    Conflict,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
)
from audit_operator.clients.kubernetes_kinds import DEPLOYMENT, EVENT, NAMESPACE, SECRET, Object, Ref, ref_of
from audit_operator.clients.kubernetes_transport import configuration
from tests.support.cluster import Cluster

FINALIZER = "auditlog.dev/release"


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Kubernetes]:
    async with Kubernetes(await configuration(str(cluster.kubeconfig))) as api:
        yield api


@pytest.fixture
async def namespace(api: Kubernetes) -> AsyncIterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await api.delete(Ref(NAMESPACE, name))


def _secret(namespace: str, data: dict[str, str], **metadata: Any) -> Object:
    where = {"name": "keys", "namespace": namespace, **metadata}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": where, "data": data}


async def test_what_a_manifest_no_longer_names_disappears(api: Kubernetes, namespace: str) -> None:
    await api.apply(_secret(namespace, {"a": "YQ==", "b": "Yg=="}))
    applied = await api.apply(_secret(namespace, {"b": "Yg=="}))
    assert applied["data"] == {"b": "Yg=="}


async def test_what_somebody_else_added_stays(cluster: Cluster, api: Kubernetes, namespace: str) -> None:
    await api.apply(_secret(namespace, {"a": "YQ=="}))
    cluster.kubectl("--namespace", namespace, "label", "secret", "keys", "team=theirs")
    applied = await api.apply(_secret(namespace, {"a": "Yg=="}))
    assert applied["metadata"]["labels"] == {"team": "theirs"}
    assert applied["data"] == {"a": "Yg=="}


async def test_what_somebody_else_made_of_our_field_is_overruled(
    cluster: Cluster, api: Kubernetes, namespace: str
) -> None:
    await api.apply(_secret(namespace, {"a": "YQ=="}))
    cluster.kubectl(
        "--namespace", namespace, "patch", "secret", "keys", "--type=merge", '--patch={"data":{"a":"Yw=="}}'
    )
    assert (await api.apply(_secret(namespace, {"a": "YQ=="})))["data"] == {"a": "YQ=="}


async def test_applying_the_same_again_writes_nothing(api: Kubernetes, namespace: str) -> None:
    first = await api.apply(_secret(namespace, {"a": "YQ=="}))
    again = await api.apply(_secret(namespace, {"a": "YQ=="}))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_status_and_its_object_are_applied_apart(api: Kubernetes, namespace: str) -> None:
    deployment = _deployment(namespace)
    await api.apply(deployment)
    status = {**deployment, "status": {"observedGeneration": 1}}
    del status["spec"]
    applied = await api.apply_status(status)
    assert applied["status"]["observedGeneration"] == 1
    assert applied["spec"]["replicas"] == 1
    assert (await api.apply(deployment))["status"]["observedGeneration"] == 1


def _rehearsed(api: Kubernetes, first: Object) -> dict[str, Callable[[], Any]]:
    ref, uid = ref_of(first), first["metadata"]["uid"]
    namespace = first["metadata"]["namespace"]
    return {
        "apply": lambda: api.apply(_secret(namespace, {"z": "eg=="})),
        "delete": lambda: api.delete(ref, uid=uid),
        "finalizer": lambda: api.add_finalizer(ref, FINALIZER, uid=uid),
        "create": lambda: api.create(_secret(namespace, {}, name="new")),
        "replace": lambda: api.replace({**first, "data": {}}),
    }


@pytest.mark.parametrize("what", ["apply", "delete", "finalizer", "create", "replace"])
async def test_a_read_only_operator_writes_nothing(
    cluster: Cluster, api: Kubernetes, namespace: str, what: str
) -> None:
    first = await api.apply(_secret(namespace, {"a": "YQ=="}))
    async with Kubernetes(await configuration(str(cluster.kubeconfig)), read_only=True) as rehearsing:
        await _rehearsed(rehearsing, first)[what]()
    assert await api.get(ref_of(first)) == first
    assert len(await api.list(SECRET, namespace=namespace)) == 1


async def test_a_rehearsal_answers_what_would_be(api: Kubernetes, namespace: str) -> None:
    first = await api.apply(_secret(namespace, {"a": "YQ=="}))
    rehearsed = await api.apply(_secret(namespace, {"b": "Yg=="}), dry_run=True)
    assert rehearsed["data"] == {"b": "Yg=="}
    assert await api.get(ref_of(first)) == first


async def test_only_the_object_that_was_meant_is_deleted(api: Kubernetes, namespace: str) -> None:
    first = await api.apply(_secret(namespace, {"a": "YQ=="}))
    changed = await api.apply(_secret(namespace, {"a": "Yg=="}))
    ref = ref_of(first)
    with pytest.raises(Conflict):
        await api.delete(ref, uid=str(uuid.uuid4()))
    with pytest.raises(Conflict):
        await api.delete(ref, resource_version=first["metadata"]["resourceVersion"])
    assert await api.delete(
        ref, uid=first["metadata"]["uid"], resource_version=changed["metadata"]["resourceVersion"]
    )
    assert not await api.delete(ref)
    assert await api.find(ref) is None
    with pytest.raises(NotFound):
        await api.get(ref)


async def test_only_what_is_unchanged_is_replaced(api: Kubernetes, namespace: str) -> None:
    first = await api.create(_secret(namespace, {"a": "YQ=="}))
    await api.replace({**first, "data": {"a": "Yg=="}})
    with pytest.raises(Conflict):
        await api.replace({**first, "data": {"a": "Yw=="}})
    with pytest.raises(Conflict):
        await api.create(_secret(namespace, {}))


async def test_our_finalizer_comes_and_goes_and_others_stay(api: Kubernetes, namespace: str) -> None:
    first = await api.apply(_secret(namespace, {}, finalizers=["example.com/theirs"]))
    ref, uid = ref_of(first), first["metadata"]["uid"]
    added = await api.add_finalizer(ref, FINALIZER, uid=uid)
    assert added["metadata"]["finalizers"] == ["example.com/theirs", FINALIZER]
    again = await api.add_finalizer(ref, FINALIZER, uid=uid)
    assert again["metadata"]["resourceVersion"] == added["metadata"]["resourceVersion"]
    await api.remove_finalizer(ref, FINALIZER, uid=uid)
    assert (await api.get(ref))["metadata"]["finalizers"] == ["example.com/theirs"]
    await api.apply(_secret(namespace, {}))


async def test_many_who_change_finalizers_at_once_lose_none(api: Kubernetes, namespace: str) -> None:
    first = await api.apply(_secret(namespace, {}))
    ref, uid = ref_of(first), first["metadata"]["uid"]
    names = [f"example.com/{letter}" for letter in "abcd"]
    await asyncio.gather(*(api.add_finalizer(ref, name, uid=uid) for name in names))
    assert sorted((await api.get(ref))["metadata"]["finalizers"]) == names
    for name in names:
        await api.remove_finalizer(ref, name, uid=uid)


async def test_the_last_finalizer_lets_a_deleted_object_go(api: Kubernetes, namespace: str) -> None:
    first = await api.apply(_secret(namespace, {}))
    ref, uid = ref_of(first), first["metadata"]["uid"]
    await api.add_finalizer(ref, FINALIZER, uid=uid)
    await api.delete(ref)
    assert (await api.get(ref))["metadata"]["deletionTimestamp"]
    await api.remove_finalizer(ref, FINALIZER, uid=uid)
    assert await api.find(ref) is None
    await api.remove_finalizer(ref, FINALIZER, uid=uid)


async def test_another_object_of_the_same_name_gets_no_finalizer(api: Kubernetes, namespace: str) -> None:
    first = await api.apply(_secret(namespace, {}))
    with pytest.raises(NotFound):
        await api.add_finalizer(ref_of(first), FINALIZER, uid=str(uuid.uuid4()))
    assert await api.get(ref_of(first)) == first


async def test_a_namespace_that_is_going_is_told_from_one_that_is_forbidden(
    api: Kubernetes, namespace: str
) -> None:
    kept = await api.apply(_secret(namespace, {}, finalizers=["example.com/theirs"]))
    await api.delete(Ref(NAMESPACE, namespace))
    try:
        with pytest.raises(NamespaceTerminating):
            await api.apply(_secret(namespace, {}, name="late"))
    finally:
        await api.remove_finalizer(ref_of(kept), "example.com/theirs", uid=kept["metadata"]["uid"])


async def test_refusals_have_their_types(cluster: Cluster, api: Kubernetes, namespace: str) -> None:
    with pytest.raises(NotFound):
        await api.apply(_secret("no-such-namespace", {}))
    with pytest.raises(Invalid):
        await api.apply(_secret(namespace, {"not a key!": "YQ=="}))
    stranger = await configuration(str(cluster.kubeconfig))
    stranger.api_key.clear()
    stranger.cert_file = stranger.key_file = None
    async with Kubernetes(stranger) as nobody:
        with pytest.raises(Forbidden):
            await nobody.list(SECRET)


async def test_a_listing_of_many_comes_in_parts_and_is_complete(
    api: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit_operator.clients.kubernetes.CHUNK", 7)
    names = [f"keys-{number:02}" for number in range(25)]
    await asyncio.gather(
        *(api.apply(_secret(namespace, {}, name=name, labels={"of": "ours"})) for name in names)
    )
    await api.apply(_secret(namespace, {}, name="other"))
    found = await api.list(SECRET, labels={"of": "ours"}, namespace=namespace)
    assert [item["metadata"]["name"] for item in found] == names
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "Secret")}


async def test_who_leads_no_longer_writes_nothing(cluster: Cluster, api: Kubernetes, namespace: str) -> None:
    async with Kubernetes(await configuration(str(cluster.kubeconfig)), may_write=lambda: False) as late:
        with pytest.raises(NoLongerLeading):
            await late.apply(_secret(namespace, {}))
        assert await late.list(SECRET, namespace=namespace) == ()


async def test_requests_are_counted_by_verb_kind_and_status(api: Kubernetes, namespace: str) -> None:
    await api.apply(_secret(namespace, {}))
    await api.find(Ref(SECRET, "none", namespace))
    sample = api.telemetry.registry.get_sample_value
    counted = "audit_operator_kubernetes_requests_total"
    assert sample(counted, {"verb": "apply", "kind": "Secret", "code": "201"}) == 1
    assert sample(counted, {"verb": "get", "kind": "Secret", "code": "404"}) == 1


async def test_an_event_is_posted_once_and_its_failure_is_nobodys(api: Kubernetes, namespace: str) -> None:
    secret = await api.apply(_secret(namespace, {}))
    nowhere = {**secret, "metadata": {**secret["metadata"], "namespace": "no-such-namespace"}}
    async with Events(api, instance="audit-operator-0", per_second=1000) as events:
        await events.post(nowhere, type="Normal", reason="Rotated", message="lost")
        for _ in range(3):
            await events.post(secret, type="Warning", reason="Rotated", message="ä" * 1000)
        async with asyncio.timeout(10):
            while not (found := await api.list(EVENT, namespace=namespace)):  # noqa: ASYNC110 - the server's
                await asyncio.sleep(0.05)
    assert [(event["reason"], event["type"], event["note"]) for event in found] == [
        ("Rotated", "Warning", "ä" * 512)
    ]
    assert api.telemetry.registry.get_sample_value("audit_operator_kubernetes_events_dropped_total") == 1


def _deployment(namespace: str) -> Object:
    labels = {"app": "ingest"}
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.name,
        "metadata": {"name": "ingest", "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "ingest", "image": "example.invalid/ingest:1"}]},
            },
        },
    }
