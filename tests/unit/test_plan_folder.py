"""Who is asked for by a folder of manifests, and above all who is not removed by accident."""

from __future__ import annotations

from audit_operator.local.differences import cluster_only, differences
from audit_operator.local.folder_plan import asked, names_by_path
from audit_operator.local.manifests import BrokenManifest, Manifest, Reading
from audit_operator.model.audittenant import AuditTenant
from tests.support.audittenant import a_tenant

ACME, GLOBEX = a_tenant("acme"), a_tenant("globex")


def _reading(*manifests: tuple[str, AuditTenant], broken: tuple[BrokenManifest, ...] = ()) -> Reading:
    return Reading(
        manifests=tuple(Manifest(path=path, tenant=tenant) for path, tenant in manifests), broken=broken
    )


def _broken(path: str, name: str | None = None) -> BrokenManifest:
    return BrokenManifest(path=path, name=name, reason="bad")


def test_every_valid_manifest_is_asked_for_and_nobody_else() -> None:
    wanted = asked(_reading(("a", ACME), ("g", GLOBEX)), live=["acme", "initech"], last_read={})
    assert wanted.tenants == {"acme": ACME, "globex": GLOBEX}
    assert wanted.absent == {"initech"}
    assert wanted.broken == ()


def test_a_broken_manifest_speaks_for_the_tenant_that_it_names() -> None:
    wanted = asked(_reading(broken=(_broken("a", "acme"),)), live=["acme", "globex"], last_read={})
    assert wanted.tenants == {}
    assert wanted.absent == {"globex"}


def test_an_unreadable_file_speaks_for_whom_it_named_before() -> None:
    wanted = asked(_reading(broken=(_broken("a"),)), live=["acme", "globex"], last_read={"a": {"acme"}})
    assert wanted.absent == {"globex"}


def test_an_unreadable_file_that_was_never_read_speaks_for_everyone() -> None:
    wanted = asked(_reading(broken=(_broken("new"),)), live=["acme", "globex"], last_read={"a": {"acme"}})
    assert wanted.absent == frozenset()


def test_two_manifests_of_one_name_are_both_left_out_and_the_tenant_stays() -> None:
    other = a_tenant("acme", state="Suspended")
    wanted = asked(_reading(("a", ACME), ("b", other), ("g", GLOBEX)), live=["acme"], last_read={})
    assert wanted.tenants == {"globex": GLOBEX}
    assert wanted.absent == frozenset()
    assert wanted.broken == (BrokenManifest(path="b", name="acme", reason="acme is described in a already"),)


def test_a_valid_and_a_broken_manifest_of_one_name_apply_the_valid_one() -> None:
    wanted = asked(_reading(("a", ACME), broken=(_broken("b", "acme"),)), live=["acme"], last_read={})
    assert wanted.tenants == {"acme": ACME}


def test_documents_of_a_file_count_for_the_file() -> None:
    reading = _reading(("a#1", ACME), broken=(_broken("a#2", "globex"), _broken("z")))
    assert names_by_path(reading) == {"a": {"acme", "globex"}}
    wanted = asked(
        _reading(broken=(_broken("a"),)), live=["acme", "globex", "x"], last_read=names_by_path(reading)
    )
    assert wanted.absent == {"x"}


def test_what_changed_is_told_in_the_words_of_the_manifest() -> None:
    changed = a_tenant(
        "acme",
        state="ReadOnly",
        ingest={"limits": {"eventsPerSecond": 5}},
        stream={"maxBytes": "1Gi"},
        retention={"partitionBy": "day"},
    )
    assert differences(ACME, changed) == [
        "spec.state: Active → ReadOnly",
        "spec.ingest.limits.eventsPerSecond: 1000 → 5",
        "spec.stream.maxBytes: unset → 1073741824",
        "spec.retention.partitionBy: unset → day",
    ]
    assert differences(changed, changed) == []


def test_what_changes_in_a_cluster_only_is_told_as_such() -> None:
    scaled = a_tenant(
        "acme",
        state="ReadOnly",
        ingest={
            "replicas": 3,
            "resources": {"requests": {"cpu": "250m"}},
            "allowFrom": [{"namespace": "web"}],
        },
        stream={"replicas": 3},
    )
    only = "(in a cluster only)"
    assert differences(ACME, scaled) == [
        "spec.state: Active → ReadOnly",
        f"spec.ingest.replicas: unset → 3 {only}",
        f'spec.ingest.resources: unset → {{"requests":{{"cpu":"250m"}},"limits":{{}}}} {only}',
        f'spec.ingest.allowFrom: unset → [{{"cidr":null,"namespace":"web"}}] {only}',
        f"spec.stream.replicas: unset → 3 {only}",
    ]
    assert differences(scaled, scaled) == []


def test_what_a_resource_sets_for_a_cluster_only_is_named() -> None:
    plain = a_tenant("acme", displayName="Acme", query={"concurrency": 2}, stream={"maxBytes": "1Gi"})
    assert cluster_only(plain) == []
    scaled = a_tenant(
        "acme",
        deletionPolicy="Delete",
        query={"autoscaling": {"maxReplicas": 3}},
    )
    assert cluster_only(scaled) == [
        "spec.deletionPolicy",
        "spec.query.autoscaling",
    ]
