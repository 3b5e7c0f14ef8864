"""The chart on a real API server: accepted, installed, upgraded, uninstalled, and what its policies and roles allow."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.chart import CHART, NAMESPACE, REQUIRED, HelmRefused, binary, helm, value_arguments
from tests.support.cluster import Cluster

OPERATOR: Final = f"system:serviceaccount:{NAMESPACE}:audit-operator"
FUNCTIONS: Final = f"system:serviceaccount:{NAMESPACE}:audit-log-functions"
SNAPSHOTS: Final = Path(__file__).parent / "snapshots"
TENANTS: Final = f"audit-chart-{secrets.token_hex(3)}"
TAKEN: Final = f"audit-taken-{secrets.token_hex(3)}"
"""Namespaces of this run: one that is deleted may go on terminating for a while."""
MANAGED: Final = {"app.kubernetes.io/managed-by": "audit-operator"}


Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def cluster(private_cluster: Cluster) -> Cluster:
    """Give a cluster of this module's own: what the chart installs holds for everybody in it."""
    return private_cluster


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster) -> Kubectl:
    def run(
        *arguments: str,
        manifest: Mapping[str, Any] | None = None,
        user: str | None = None,
        groups: tuple[str, ...] = ("system:serviceaccounts", "system:authenticated"),
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(binary("kubectl"), "--kubeconfig", str(cluster.kubeconfig), *arguments),
                *(["--as", user, *(f"--as-group={group}" for group in groups)] if user else []),
                *(["--filename", "-"] if manifest else []),
            ],
            input=json.dumps(manifest) if manifest else None,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def installed(cluster: Cluster, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    kubectl("create", "namespace", NAMESPACE)
    values = value_arguments(str(tmp_path_factory.mktemp("values")), REQUIRED)
    helm(
        *("upgrade", "--install", "audit-log", str(CHART), "--namespace", NAMESPACE),
        *values,
        kubeconfig=cluster.kubeconfig,
    )
    yield
    kubectl("delete", "audittenants", "--all")
    for namespace in (TENANTS, TAKEN):
        kubectl("delete", "namespace", namespace, "--wait=false")
    uninstall(cluster)


def uninstall(cluster: Cluster) -> None:
    """Uninstall as if the hook had said yes: its pod needs a machine that runs containers."""
    helm("uninstall", "audit-log", "--namespace", NAMESPACE, "--no-hooks", kubeconfig=cluster.kubeconfig)


def a_namespace(name: str = TENANTS, labels: Mapping[str, str] = MANAGED) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": dict(labels)},
    }


def a_rolebinding(
    namespace: str = TENANTS,
    *,
    role: str = "audit-operator-tenant-secrets",
    kind: str = "ClusterRole",
    subjects: tuple[str, ...] = ("audit-operator",),
) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "audit-operator-secrets", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [
            {"kind": "ServiceAccount", "name": subject, "namespace": NAMESPACE} for subject in subjects
        ],
    }


def a_tenant(policy: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "auditlog.dev/v1alpha1",
        "kind": "AuditTenant",
        "metadata": {"name": "chart", "annotations": dict(annotations or {})},
        "spec": {"isolation": "Dedicated", "deletionPolicy": policy},
    }


def apply(kubectl: Kubectl, manifest: Mapping[str, Any], user: str | None = None, **more: Any) -> str:
    """Apply server-side; return why it was refused, or nothing."""
    done = kubectl("apply", "--server-side", "--force-conflicts", manifest=manifest, user=user, **more)
    return done.stderr if done.returncode else ""


@pytest.fixture
def tenant_namespace(installed: None, kubectl: Kubectl) -> str:
    assert apply(kubectl, a_namespace(), OPERATOR) == ""
    return TENANTS


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(CHART.glob("ci/*-values.yaml")) if "custom-resources" not in path.name],
    ids=lambda path: path.stem,
)
def test_the_server_accepts_what_is_rendered(
    installed: None, kubectl: Kubectl, path: Path, tmp_path: Path
) -> None:
    rendered = tmp_path / "rendered.yaml"
    text = helm("template", "audit-log", str(CHART), "--namespace", NAMESPACE, "--values", str(path))
    rendered.write_text(text)
    done = kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("--filename", str(rendered)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("serverside-applied") == sum(
        each is not None for each in yaml.safe_load_all(text)
    )


def test_an_upgrade_changes_what_it_says_and_keeps_the_rest(
    cluster: Cluster, installed: None, kubectl: Kubectl, tmp_path: Path
) -> None:
    def deployment() -> dict[str, Any]:
        answer = kubectl("get", "deployment", "audit-operator", "-n", NAMESPACE, "-o", "json")
        spec: dict[str, Any] = json.loads(answer.stdout)["spec"]
        return spec

    before = deployment()
    for replicas in (3, 2):
        helm(
            *("upgrade", "audit-log", str(CHART), "--namespace", NAMESPACE),
            *value_arguments(str(tmp_path), {**REQUIRED, "operator": {"replicas": replicas}}),
            kubeconfig=cluster.kubeconfig,
        )
        assert deployment() == before | {"replicas": replicas}


def test_a_second_installation_is_refused(cluster: Cluster, installed: None, tmp_path: Path) -> None:
    with pytest.raises(HelmRefused, match="cannot be imported into the current release"):
        helm(
            *("install", "another", str(CHART), "--namespace", "default"),
            *value_arguments(str(tmp_path), REQUIRED),
            kubeconfig=cluster.kubeconfig,
        )


@pytest.mark.parametrize(
    ("user", "namespace", "name"),
    [
        (OPERATOR, NAMESPACE, "operator-in-its-namespace"),
        (OPERATOR, "default", "operator-elsewhere"),
        (OPERATOR, TENANTS, "operator-in-a-tenants-namespace"),
        (FUNCTIONS, NAMESPACE, "functions"),
        (f"system:serviceaccount:{TENANTS}:audit-functions", TENANTS, "tenants-functions"),
    ],
    ids=("operator-here", "operator-elsewhere", "operator-in-tenants", "functions", "tenants-functions"),
)
def test_what_an_account_may_do_is_as_committed(
    tenant_namespace: str, kubectl: Kubectl, user: str, namespace: str, name: str
) -> None:
    assert apply(kubectl, a_rolebinding(), OPERATOR) == ""
    listed = kubectl("auth", "can-i", "--list", "--namespace", namespace, "--no-headers", user=user)
    assert listed.returncode == 0, listed.stderr
    rules = sorted(" ".join(line.split()) for line in listed.stdout.splitlines() if line.strip())
    assert rules == (SNAPSHOTS / f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, ""),
        ({"role": "cluster-admin"}, "binds ClusterRole audit-operator-tenant-secrets and no other"),
        ({"role": "view"}, "binds ClusterRole audit-operator-tenant-secrets and no other"),
        ({"subjects": ("default",)}, "binds nobody but itself"),
        ({"subjects": ("audit-operator", "default")}, "binds nobody but itself"),
        ({"subjects": ()}, "binds nobody but itself"),
        ({"namespace": "kube-system"}, "only in namespaces that it made"),
        ({"namespace": "default"}, "only in namespaces that it made"),
        ({"namespace": NAMESPACE}, "only in namespaces that it made"),
    ],
    ids=str,
)
def test_the_operator_binds_only_itself_and_only_where_it_made_the_namespace(
    tenant_namespace: str, kubectl: Kubectl, change: dict[str, Any], refused: str
) -> None:
    kubectl("delete", "rolebinding", "audit-operator-secrets", "-n", change.get("namespace", TENANTS))
    # With every right that RBAC can give, so that the policy alone stands in the way.
    answer = apply(kubectl, a_rolebinding(**change), OPERATOR, groups=("system:masters",))
    assert (answer == "") is (refused == "")
    assert refused in answer


@pytest.mark.parametrize("role", ["cluster-admin", "view"])
def test_roles_keep_the_operator_from_binding_another(
    tenant_namespace: str, kubectl: Kubectl, role: str
) -> None:
    kubectl("delete", "rolebinding", "audit-operator-secrets", "-n", tenant_namespace)
    answer = apply(kubectl, a_rolebinding(role=role), OPERATOR)
    assert "attempting to grant RBAC permissions" in answer or "is forbidden" in answer


def test_policies_on_bindings_leave_others_alone(tenant_namespace: str, kubectl: Kubectl) -> None:
    binding = a_rolebinding("default", role="view", subjects=("default",))
    binding["metadata"]["name"] = "chart-others"
    assert apply(kubectl, binding) == ""
    kubectl("delete", "rolebinding", "chart-others", "-n", "default")


@pytest.mark.parametrize(
    ("policy", "annotations", "refused"),
    [
        ("Retain", {}, ""),
        ("Delete", {}, "kubectl annotate audittenant chart auditlog.dev/confirm-delete=chart"),
        ("Delete", {"auditlog.dev/confirm-delete": "other"}, "this deletes every event of chart"),
        ("Delete", {"auditlog.dev/confirm-delete": "chart"}, ""),
    ],
)
def test_events_are_deleted_only_when_that_is_confirmed_by_name(
    installed: None, kubectl: Kubectl, policy: str, annotations: dict[str, str], refused: str
) -> None:
    assert apply(kubectl, a_tenant(policy, annotations)) == ""
    done = kubectl("delete", "audittenant", "chart", "--wait=false")
    assert (done.returncode == 0) is (not refused), done.stderr
    assert refused in done.stderr
    if refused:
        apply(kubectl, a_tenant("Delete", {"auditlog.dev/confirm-delete": "chart"}))
        assert kubectl("delete", "audittenant", "chart").returncode == 0


@pytest.mark.parametrize(
    ("labels", "allowed"),
    [
        ({}, True),
        ({"team": "web", "app.kubernetes.io/managed-by": "Helm"}, True),
        ({"auditlog.dev/client": "true"}, True),
        ({"auditlog.dev/monitoring": "true"}, True),
        ({"auditlog.dev/tenant": "acme"}, False),
        ({"app.kubernetes.io/managed-by": "audit-operator"}, False),
    ],
    ids=str,
)
def test_only_the_operator_labels_namespaces_as_its_own(
    installed: None, kubectl: Kubectl, labels: dict[str, str], allowed: bool
) -> None:
    for name, flags in (("chart-fresh", ["--dry-run=server"]), ("default", ["--dry-run=server"])):
        done = kubectl("apply", "--server-side", *flags, manifest=a_namespace(name, labels))
        assert (done.returncode == 0) is allowed, done.stderr
        assert (
            allowed
            or "only auditlog.dev/client and auditlog.dev/monitoring may be set by others" in done.stderr
        )


def test_nobody_else_takes_the_operators_labels_away(tenant_namespace: str, kubectl: Kubectl) -> None:
    done = kubectl("label", "namespace", tenant_namespace, "app.kubernetes.io/managed-by-")
    assert "only auditlog.dev/client and auditlog.dev/monitoring may be set by others" in done.stderr
    assert kubectl("label", "--overwrite", "namespace", tenant_namespace, "team=web").returncode == 0


@pytest.mark.parametrize("name", ["default", "kube-system", NAMESPACE, "mine"])
def test_the_operator_touches_no_namespace_of_another_name(
    installed: None, kubectl: Kubectl, name: str
) -> None:
    assert "only namespaces named audit-" in apply(kubectl, a_namespace(name), OPERATOR)
    if name != "mine":
        done = kubectl("delete", "namespace", name, "--wait=false", user=OPERATOR)
        assert "only namespaces named audit-" in done.stderr or "is forbidden" in done.stderr
        assert done.returncode != 0


def test_the_operator_takes_over_no_namespace_that_it_did_not_make(installed: None, kubectl: Kubectl) -> None:
    assert apply(kubectl, a_namespace(TAKEN, {})) == ""
    assert "only namespaces that it made" in apply(kubectl, a_namespace(TAKEN), OPERATOR)
    done = kubectl("delete", "namespace", TAKEN, "--wait=false", user=OPERATOR)
    assert "only namespaces that it made" in done.stderr


def test_tenants_survive_an_uninstallation(
    cluster: Cluster, installed: None, kubectl: Kubectl, tmp_path: Path
) -> None:
    assert apply(kubectl, a_tenant("Retain")) == ""
    uninstall(cluster)
    left = kubectl("get", "audittenant", "chart", "-o", "name")
    helm(
        *("install", "audit-log", str(CHART), "--namespace", NAMESPACE),
        *value_arguments(str(tmp_path), REQUIRED),
        kubeconfig=cluster.kubeconfig,
    )
    assert left.stdout.strip() == "audittenant.auditlog.dev/chart"
    assert kubectl("get", "audittenant", "chart", "-o", "name").stdout == left.stdout
