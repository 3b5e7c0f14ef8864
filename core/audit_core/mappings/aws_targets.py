"""What an AWS call was about: the record's `resources`, or parameters that are known to name one.

`resources` is authoritative and often absent; then the parameters of the request decide. A parameter is trusted to
name a kind of resource everywhere (`bucketName`) or within one service (`name` of a parameter store call).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from audit_core.mappings.fitting import short_text

MAX_TARGETS: Final = 16
_ID_CHARS: Final = 512
_TYPE_CHARS: Final = 128
_ARN_PARTS: Final = 6

_ANYWHERE: Final = {
    "bucketName": "AWS::S3::Bucket",
    "instanceId": "AWS::EC2::Instance",
    "vpcId": "AWS::EC2::VPC",
    "subnetId": "AWS::EC2::Subnet",
    "routeTableId": "AWS::EC2::RouteTable",
    "internetGatewayId": "AWS::EC2::InternetGateway",
    "natGatewayId": "AWS::EC2::NatGateway",
    "networkInterfaceId": "AWS::EC2::NetworkInterface",
    "allocationId": "AWS::EC2::EIP",
    "groupId": "AWS::EC2::SecurityGroup",
    "volumeId": "AWS::EC2::Volume",
    "snapshotId": "AWS::EC2::Snapshot",
    "imageId": "AWS::EC2::Image",
    "userName": "AWS::IAM::User",
    "roleName": "AWS::IAM::Role",
    "roleArn": "AWS::IAM::Role",
    "policyArn": "AWS::IAM::Policy",
    "instanceProfileName": "AWS::IAM::InstanceProfile",
    "accessKeyId": "AWS::IAM::AccessKey",
    "secretId": "AWS::SecretsManager::Secret",
    "keyId": "AWS::KMS::Key",
    "functionName": "AWS::Lambda::Function",
    "dBInstanceIdentifier": "AWS::RDS::DBInstance",
    "dBSnapshotIdentifier": "AWS::RDS::DBSnapshot",
    "dBSubnetGroupName": "AWS::RDS::DBSubnetGroup",
    "logGroupName": "AWS::Logs::LogGroup",
    "trailName": "AWS::CloudTrail::Trail",
}
_WITHIN: Final = {
    ("cloudtrail.amazonaws.com", "name"): "AWS::CloudTrail::Trail",
    ("secretsmanager.amazonaws.com", "name"): "AWS::SecretsManager::Secret",
    ("ssm.amazonaws.com", "name"): "AWS::SSM::Parameter",
    ("ssm.amazonaws.com", "names"): "AWS::SSM::Parameter",
    ("ssm.amazonaws.com", "resourceId"): "AWS::SSM::ManagedInstance",
}


def targets_of(record: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Return at most 16 targets, and whether they hold all that `resources` says.

    A resource without an ARN, or with one too long for an id, is no target.
    """
    resources = record.get("resources") or []
    named = list(_of_resources(resources))
    return (named or list(_of_parameters(record)))[:MAX_TARGETS], len(resources) == len(named[:MAX_TARGETS])


def _of_resources(resources: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for resource in resources:
        arn = short_text(resource.get("ARN"), _ID_CHARS)
        if arn is None:
            continue
        kind = short_text(resource.get("type"), _TYPE_CHARS)
        rest = {name: value for name, value in resource.items() if name != "ARN" and value != kind}
        target = {"id": arn, "type": kind or _kind_in_arn(arn), "attributes": rest}
        yield {name: value for name, value in target.items() if value}


def _kind_in_arn(arn: str) -> str | None:
    """Return `ssm:parameter` of `arn:aws:ssm:region:account:parameter/path`."""
    parts = arn.split(":", _ARN_PARTS - 1)
    if len(parts) < _ARN_PARTS:
        return None
    kind = parts[5].replace(":", "/").partition("/")
    return short_text(f"{parts[2]}:{kind[0]}" if kind[1] else parts[2], _TYPE_CHARS)


def _of_parameters(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    parameters = record.get("requestParameters")
    if not isinstance(parameters, Mapping):
        return
    for name, value in parameters.items():
        kind = _WITHIN.get((str(record.get("eventSource")), name)) or _ANYWHERE.get(name)
        if kind is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            text = short_text(item, _ID_CHARS)
            if text is not None:
                yield {"id": text, "type": kind}
