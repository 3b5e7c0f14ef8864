"""What a status says about a tenant: conditions of a closed list, each with a reason of a closed list.

The words here are what `docs/operator.md` explains and what alerts are written against: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

Truth = Literal["True", "False", "Unknown"]

MAX_MESSAGE_LENGTH: Final = 1024


class ConditionType(StrEnum):
    """The kinds of condition. The last three are there only while they are true."""

    READY = "Ready"
    """Events are accepted, stored and readable as specified: the sum of the others."""
    NAMESPACE_READY = "NamespaceReady"
    """Namespace, quota, limits, policies and service account are as they should be."""
    INGEST_READY = "IngestReady"
    """As many ingest pods as wanted take events."""
    QUERY_READY = "QueryReady"
    """As many query pods as wanted answer."""
    STREAM_READY = "StreamReady"
    """The stream is the one that was committed from, fits the specification and is attested durable."""
    DATABASE_READY = "DatabaseReady"
    """Schema, roles, policies and the partitions ahead are in place."""
    CREDENTIALS_READY = "CredentialsReady"
    """The functions have credentials that are in date, and the tenant has its first key."""
    PAUSED = "Paused"
    """The operator leaves the tenant alone, because an annotation asks for it."""
    TERMINATING = "Terminating"
    """The resource is being deleted; the reason is the step that is under way."""
    DEGRADED = "Degraded"
    """Something is in order only in part, or needs a person; the message says what."""


class Reason(StrEnum):
    """Why a condition is as it is, and in one line what to do."""

    READY = "Ready"
    """Nothing to do."""
    SUSPENDED = "Suspended"
    """`spec.state` refuses events and queries: set it to Active."""
    READ_ONLY = "ReadOnly"
    """`spec.state` refuses events: set it to Active."""
    RECONCILING = "Reconciling"
    """The operator is at work: wait."""
    INVALID = "Invalid"
    """The specification cannot be applied: the message names the field."""
    CONFLICT = "Conflict"
    """The name, the namespace or the log belongs to somebody else: the message says to whom."""
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    """Someone deleted the namespace: it is made anew when it is gone."""
    FORBIDDEN = "Forbidden"
    """The API server refuses the operator: compare its role, quotas and admission policies with the chart's."""
    API_REFUSED = "ApiRefused"
    """The API server does not take an object: the message is its own."""
    ROLLING_OUT = "RollingOut"
    """Pods are being replaced or started: wait, then look at their events."""
    NO_REPLICAS = "NoReplicas"
    """No replicas are wanted: scale up."""
    POOL = "Pool"
    """The installation's pooled functions serve the tenant: see its Deployments."""
    STREAM_UNAVAILABLE = "StreamUnavailable"
    """NATS does not answer the operator."""
    STREAM_REFUSED = "StreamRefused"
    """JetStream refuses the stream's configuration, for want of storage or because it cannot be changed."""
    STREAM_BROKEN = "StreamBroken"
    """The stream contradicts what is stored; a person decides: see the runbook of recover-stream."""
    NOT_DURABLE = "NotDurable"
    """A server does not fsync every message: set sync_interval to always on all of them."""
    DATABASE_UNAVAILABLE = "DatabaseUnavailable"
    """PostgreSQL does not answer the operator."""
    DATABASE_REFUSED = "DatabaseRefused"
    """PostgreSQL refuses a statement of provisioning: the message is its own."""
    ROTATION_FAILED = "RotationFailed"
    """New credentials could not be handed out; the old ones go on working."""
    PAUSED = "Paused"
    """Remove the annotation auditlog.dev/paused to go on."""
    STOPPING_INGEST = "StoppingIngest"
    """The endpoint is being closed: its keys are withdrawn."""
    DRAINING = "Draining"
    """What was acknowledged is being stored; nothing goes before that has ended."""
    DROPPING = "Dropping"
    """Stream, schema and roles are being deleted, as deletionPolicy Delete asks for."""
    RELEASING = "Releasing"
    """Namespace and credentials are being deleted; the log is kept unless it was dropped."""
    TROUBLE = "Trouble"
    """The message says what is wrong; the rest was done."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One condition as the API has it. `last_transition_time`: RFC 3339, when `status` last changed."""

    type: str
    status: Truth
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is found now about one condition, before it is known whether that is news."""

    type: ConditionType
    status: Truth
    reason: Reason
    message: str = ""


def true(kind: ConditionType, reason: Reason = Reason.READY, message: str = "") -> Finding:
    """Return that a condition holds."""
    return Finding(type=kind, status="True", reason=reason, message=message)


def false(kind: ConditionType, reason: Reason, message: str = "") -> Finding:
    """Return that a condition does not hold."""
    return Finding(type=kind, status="False", reason=reason, message=message)


def unknown(kind: ConditionType, reason: Reason, message: str = "") -> Finding:
    """Return that nobody can tell whether a condition holds."""
    return Finding(type=kind, status="Unknown", reason=reason, message=message)


def merged(
    found: Iterable[Finding], former: Iterable[Mapping[str, Any]], *, generation: int, now: str
) -> list[Condition]:
    """Return the conditions to write: those found, each with the time when its status last changed.

    `former` is the list that stands in the status now; what is no longer found is left out.
    """
    since = {
        (each.get("type"), each.get("status")): str(each.get("lastTransitionTime") or now) for each in former
    }
    return [
        Condition(
            type=each.type.value,
            status=each.status,
            reason=each.reason.value,
            message=each.message[:MAX_MESSAGE_LENGTH],
            observed_generation=generation,
            last_transition_time=since.get((each.type.value, each.status), now),
        )
        for each in found
    ]
