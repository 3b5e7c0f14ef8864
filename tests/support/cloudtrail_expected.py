"""Twenty CloudTrail records as the events they must become, written by hand from the records.

Keyed by eventID. Of `metadata` the names are listed: the values must be the record's own.
"""

from __future__ import annotations

from typing import Any, Final

_ALWAYS: Final = {
    "event_category", "event_type", "event_version", "management_event", "read_only", "recipient_account_id",
    "user_identity",
}  # fmt: skip
_ACCOUNT: Final = {"accountId": "123837392027"}
_ARN: Final = "arn:aws:iam::123837392027"
_BENJAMIN: Final = {"id": f"{_ARN}:user/benjamin", "name": "benjamin", "type": "user"}
_BERT: Final = {"id": f"{_ARN}:user/bert-jan", "name": "bert-jan", "type": "user"}
_CONSOLE: Final = (
    "OpenJDK_64-Bit_Server_VM/25.372-b08 java/1.8.0_372 vendor/Oracle_Corporation cfg/retry-mode/standard]"
)
_TERRAFORM: Final = (
    "APN/1.0 HashiCorp/1.0 Terraform/1.1.2 (+https://www.terraform.io) terraform-provider-aws/3.76.1 "
    "(+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go/1.44.157 (go1.19.3; linux; amd64)"
)
_PARAMETERS: Final = "arn:aws:ssm:us-east-1:123837392027:parameter/credentials/stratus-red-team/credentials-"


def _source(service: str) -> dict[str, str]:
    return {"service": f"{service}.amazonaws.com", "region": "us-east-1"}


EXPECTED: Final[dict[str, tuple[dict[str, Any], set[str]]]] = {
    # a call on a bucket, with the bucket among the resources
    "b69c41d9-ccc8-41d7-82f1-d3f27cb2fb3c": (
        {
            "event_type": "aws.s3.GetBucketLogging",
            "action": "GetBucketLogging",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:42:23Z",
            "actor": _BENJAMIN,
            "targets": [
                {
                    "id": "arn:aws:s3:::baker221b-bucketsevidenceeeedc25d-1q9cl0tuy4gbm",
                    "type": "AWS::S3::Bucket",
                    "attributes": _ACCOUNT,
                }
            ],
            "source": _source("s3"),
            "context": {
                "ip": "10.248.16.43",
                "user_agent": "[Boto3/1.26.165 Python/3.10.6 Linux/5.19.0-46-generic Botocore/1.29.165]",
                "request_id": "GXKFXETF0Z1ANBT8",
            },
        },
        _ALWAYS | {"additional_event_data", "request_parameters", "tls_details"},
    ),
    # no resource and no parameter that names one; over a VPC endpoint
    "44a42357-fa38-4c9c-a58c-709254a857f7": (
        {
            "event_type": "aws.s3.ListBuckets",
            "action": "ListBuckets",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:42:34Z",
            "actor": _BENJAMIN,
            "source": _source("s3"),
            "context": {
                "ip": "10.248.16.43",
                "user_agent": "[S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.488 "
                f"Linux/5.4.242-163.349.amzn2int.x86_64 {_CONSOLE}",
                "request_id": "P5RR163XD4EE3HCR",
            },
        },
        _ALWAYS | {"additional_event_data", "request_parameters", "tls_details", "vpc_endpoint_id"},
    ),
    # AWS on a user's behalf: the user is the actor, and the source address is no address
    "14ff525a-1809-4b51-ba87-ff07973db7ba": (
        {
            "event_type": "aws.s3.GetStorageLensDashboardDataInternal",
            "action": "GetStorageLensDashboardDataInternal",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:42:35Z",
            "actor": _BENJAMIN,
            "source": _source("s3"),
            "context": {"user_agent": "AWS Internal", "request_id": "34b47ad8-783f-4cd5-8865-df3f9cdbcc0b"},
        },
        _ALWAYS | {"request_parameters", "source_ip_address"},
    ),
    # the console, through the service that shows its health
    "21c87313-5709-46b6-9a83-c7096a761200": (
        {
            "event_type": "aws.health.DescribeEventAggregates",
            "action": "DescribeEventAggregates",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:42:38Z",
            "actor": _BENJAMIN,
            "source": _source("health"),
            "context": {"user_agent": "AWS Internal", "request_id": "7c17e742-76e2-4be7-8708-96a194a85e04"},
        },
        _ALWAYS | {"request_parameters", "session_credential_from_console", "source_ip_address"},
    ),
    # something that is not there
    "8ca35bec-bc01-4a58-beca-6f8a16907e98": (
        {
            "event_type": "aws.s3.GetBucketPublicAccessBlock",
            "action": "GetBucketPublicAccessBlock",
            "outcome": "failure",
            "occurred_at": "2023-07-10T11:42:44Z",
            "actor": _BENJAMIN,
            "targets": [
                {
                    "id": "arn:aws:s3:::invictus-aws-2022-10-27-quygr",
                    "type": "AWS::S3::Bucket",
                    "attributes": _ACCOUNT,
                }
            ],
            "source": _source("s3"),
            "context": {
                "ip": "10.248.16.43",
                "user_agent": "[S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.488 "
                f"Linux/5.4.247-169.350.amzn2int.x86_64 {_CONSOLE}",
                "request_id": "NDWT6HCWYNQAHGDJ",
            },
        },
        _ALWAYS
        | {
            "additional_event_data",
            "error_code",
            "error_message",
            "request_parameters",
            "tls_details",
            "vpc_endpoint_id",
        },
    ),
    # a role that may not be assumed: denied, and AWS withholds which role
    "e4bad408-6272-4892-bf47-bd41b435ce40": (
        {
            "event_type": "aws.sts.AssumeRole",
            "action": "AssumeRole",
            "outcome": "denied",
            "occurred_at": "2023-07-10T11:54:42Z",
            "actor": _BERT,
            "source": _source("sts"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": "stratus-red-team_39f95f43-cd2f-4beb-b69e-be60b6fe1f57",
                "request_id": "e4ca758e-8abd-4be9-aeb1-04e7c92ed72e",
            },
        },
        _ALWAYS | {"error_code", "error_message", "tls_details"},
    ),
    # an assumed role, not allowed: the role is the actor, its session stands in the context
    "00d955a7-4797-46c4-ba50-ed0c81867020": (
        {
            "event_type": "aws.ec2.GetPasswordData",
            "action": "GetPasswordData",
            "outcome": "denied",
            "occurred_at": "2023-07-10T11:54:47Z",
            "actor": {
                "id": f"{_ARN}:role/stratus-red-team-ec2-get-password-data-role",
                "name": "stratus-red-team-ec2-get-password-data-role",
                "type": "service_account",
            },
            "targets": [{"id": "i-yo72hkw7elzv1ald", "type": "AWS::EC2::Instance"}],
            "source": _source("ec2"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": "stratus-red-team_39f95f43-cd2f-4beb-b69e-be60b6fe1f57",
                "request_id": "61dc250f-f9a8-44ee-8c06-3f5caafde909",
                "session_id": "aws-go-sdk-1688990082523310002",
            },
        },
        _ALWAYS | {"error_code", "error_message", "request_parameters", "tls_details"},
    ),
    # refused for a reason other than rights
    "4a131b73-a4cd-44ce-8757-e3ad55c22e43": (
        {
            "event_type": "aws.ec2.RunInstances",
            "action": "RunInstances",
            "outcome": "failure",
            "occurred_at": "2023-07-10T11:55:16Z",
            "actor": _BERT,
            "source": _source("ec2"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": f"{_TERRAFORM} stratus-red-team_6a7ec681-49a5-4403-99a2-d3c1229e8063 "
                "HashiCorp-terraform-exec/0.17.3",
                "request_id": "b22f234c-cb1a-4cfc-8605-5ac533f6b84d",
            },
        },
        _ALWAYS | {"error_code", "error_message", "request_parameters", "tls_details"},
    ),
    # the deepest record: an answer that nests eleven levels
    "86eac0ac-8521-4126-aa32-a22f2b74d02e": (
        {
            "event_type": "aws.ec2.RunInstances",
            "action": "RunInstances",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:55:21Z",
            "actor": _BERT,
            "source": _source("ec2"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": f"{_TERRAFORM} stratus-red-team_6a7ec681-49a5-4403-99a2-d3c1229e8063 "
                "HashiCorp-terraform-exec/0.17.3",
                "request_id": "95b435ce-68af-4a4b-b89c-f653d8946ebc",
            },
        },
        _ALWAYS | {"request_parameters", "response_elements", "tls_details"},
    ),
    # a service for itself, in an event that another account shares
    "7a5ee168-7848-4cfa-8d3c-69f78ecb1806": (
        {
            "event_type": "aws.sts.AssumeRole",
            "action": "AssumeRole",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:55:22Z",
            "actor": {"id": "ec2.amazonaws.com", "type": "system"},
            "targets": [
                {
                    "id": f"{_ARN}:role/stratus-red-team-ec2-steal-credentials-role",
                    "type": "AWS::IAM::Role",
                    "attributes": _ACCOUNT,
                }
            ],
            "source": _source("sts"),
            "context": {
                "user_agent": "ec2.amazonaws.com",
                "request_id": "95b435ce-68af-4a4b-b89c-f653d8946ebc",
                "correlation_id": "92173965-bfd9-4fcc-ab2c-7cd395aef32a",
            },
        },
        _ALWAYS | {"request_parameters", "response_elements", "source_ip_address"},
    ),
    # no type of identity and no request: something that happened inside a service
    "895dc875-cb08-45a5-b8c2-9158838741c0": (
        {
            "event_type": "aws.ec2.SharedSnapshotVolumeCreated",
            "action": "SharedSnapshotVolumeCreated",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:55:23Z",
            "actor": {"id": "ec2.amazonaws.com", "type": "system"},
            "source": _source("ec2"),
            "context": {
                "user_agent": "ec2.amazonaws.com",
                "correlation_id": "b81f7fe5-36b5-49ea-bbc9-6a9007e733c0",
            },
        },
        _ALWAYS | {"service_event_details", "source_ip_address"},
    ),
    # a key of another service's, used for a user
    "019a92b7-c423-4436-9865-70ecd1a3fad7": (
        {
            "event_type": "aws.kms.GenerateDataKey",
            "action": "GenerateDataKey",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:57:49Z",
            "actor": _BERT,
            "targets": [
                {
                    "id": "arn:aws:kms:us-east-1:123837392027:key/dad21b23-9915-42bd-981b-2a9f3c8f20c8",
                    "type": "AWS::KMS::Key",
                    "attributes": _ACCOUNT,
                }
            ],
            "source": _source("kms"),
            "context": {
                "user_agent": "secretsmanager.amazonaws.com",
                "request_id": "3f437288-824a-4855-86f4-8ee627ce171a",
            },
        },
        _ALWAYS | {"request_parameters", "source_ip_address", "vpc_endpoint_id"},
    ),
    # too many requests: a failure, not a denial
    "111f1ab1-d904-4aab-bc84-95b9ad3b3357": (
        {
            "event_type": "aws.ssm.PutParameter",
            "action": "PutParameter",
            "outcome": "failure",
            "occurred_at": "2023-07-10T11:58:13Z",
            "actor": _BERT,
            "source": _source("ssm"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": f"{_TERRAFORM} stratus-red-team_11a6ef34-e130-4579-a1d3-79c915cee6ec "
                "HashiCorp-terraform-exec/0.17.3",
                "request_id": "57775f21-4d74-431d-8edc-18033f0f2792",
            },
        },
        _ALWAYS | {"error_code", "error_message", "tls_details"},
    ),
    # ten resources without a type, which their ARNs tell
    "11badb48-54ce-433e-bef6-40e3a2cf02fe": (
        {
            "event_type": "aws.ssm.GetParameters",
            "action": "GetParameters",
            "outcome": "success",
            "occurred_at": "2023-07-10T11:58:27Z",
            "actor": _BERT,
            "targets": [
                {"id": f"{_PARAMETERS}{number}", "type": "ssm:parameter", "attributes": _ACCOUNT}
                for number in (10, 17, 18, 19, 2, 24, 26, 41, 6, 8)
            ],
            "source": _source("ssm"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": "stratus-red-team_11a6ef34-e130-4579-a1d3-79c915cee6ec",
                "request_id": "6e4bd37c-8b51-498e-bbf8-425f66103a78",
            },
        },
        _ALWAYS | {"request_parameters", "tls_details"},
    ),
    # a parameter whose meaning depends on the service: the name of a trail
    "b7e19efd-92be-4182-bbbc-b6468296710b": (
        {
            "event_type": "aws.cloudtrail.DeleteTrail",
            "action": "DeleteTrail",
            "outcome": "failure",
            "occurred_at": "2023-07-10T11:59:02Z",
            "actor": _BERT,
            "targets": [
                {"id": "stratus-red-team-cloudtraild-trail-aueolsaccp", "type": "AWS::CloudTrail::Trail"}
            ],
            "source": _source("cloudtrail"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": "stratus-red-team_99607e74-534a-4298-98da-1d4f09e66dea",
                "request_id": "ddad9c14-5828-4fa1-afec-b69e29025d93",
            },
        },
        _ALWAYS | {"error_code", "error_message", "request_parameters", "tls_details"},
    ),
    # a role of a service, by the service
    "1694d8a8-3e2c-46d1-b9ce-7f4847d3c836": (
        {
            "event_type": "aws.ec2.DescribeInstances",
            "action": "DescribeInstances",
            "outcome": "success",
            "occurred_at": "2023-07-10T12:04:10Z",
            "actor": {
                "id": f"{_ARN}:role/aws-service-role/inspector2.amazonaws.com/AWSServiceRoleForAmazonInspector2",
                "name": "AWSServiceRoleForAmazonInspector2",
                "type": "service_account",
            },
            "source": _source("ec2"),
            "context": {
                "user_agent": "inspector2.amazonaws.com",
                "request_id": "c72feb98-b1f1-47b8-b359-ddf3c26d8dc0",
                "session_id": "MandoService364061179539770931",
            },
        },
        _ALWAYS | {"request_parameters", "source_ip_address"},
    ),
    # a service that finishes later what was asked for: its request id is a sentence
    "034c523b-cdaf-4181-8d8d-64d7c008e0d3": (
        {
            "event_type": "aws.secretsmanager.EndSecretVersionDelete",
            "action": "EndSecretVersionDelete",
            "outcome": "success",
            "occurred_at": "2023-07-10T12:08:04Z",
            "actor": {"id": "secretsmanager.amazonaws.com", "type": "system"},
            "source": _source("secretsmanager"),
            "context": {
                "user_agent": "secretsmanager.amazonaws.com",
                "request_id": "SecretDeleteMessage:arn:aws:secretsmanager:us-east-1:123837392027:secret:"
                "stratus-red-team-retrieve-secret-0-xehWok:2023-07-10T12:07:00Z:Forced",
            },
        },
        _ALWAYS | {"additional_event_data", "source_ip_address"},
    ),
    # a user made by another: the new one is the target
    "564ee71e-5934-49b7-8a5f-d6f4d9248018": (
        {
            "event_type": "aws.iam.CreateUser",
            "action": "CreateUser",
            "outcome": "success",
            "occurred_at": "2023-07-10T12:25:03Z",
            "actor": _BERT,
            "targets": [{"id": "stratus-red-team-login-profile-user", "type": "AWS::IAM::User"}],
            "source": _source("iam"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": f"{_TERRAFORM} stratus-red-team_9f92f988-5ef6-4f8a-800d-c7229febb5fb "
                "HashiCorp-terraform-exec/0.17.3",
                "request_id": "90de5d2f-5951-48cc-891a-7d4872f99bb3",
            },
        },
        _ALWAYS | {"request_parameters", "response_elements", "tls_details"},
    ),
    # a sign-in to the console, which has no request id
    "8feee4c2-5e27-4857-8475-bfa7e7b6d791": (
        {
            "event_type": "aws.signin.ConsoleLogin",
            "action": "ConsoleLogin",
            "outcome": "success",
            "occurred_at": "2023-07-10T12:27:45Z",
            "actor": _BERT,
            "source": _source("signin"),
            "context": {
                "ip": "10.8.8.10",
                "user_agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:102.0) Gecko/20100101 Firefox/102.0",
            },
        },
        _ALWAYS | {"additional_event_data", "response_elements", "tls_details"},
    ),
    # a database in the wrong state for it
    "c704b1d0-d5a6-4eed-aaf6-caecd497993b": (
        {
            "event_type": "aws.rds.DeleteDBInstance",
            "action": "DeleteDBInstance",
            "outcome": "failure",
            "occurred_at": "2023-07-10T12:28:39Z",
            "actor": _BERT,
            "targets": [{"id": "terraform-20230710121504061500000001", "type": "AWS::RDS::DBInstance"}],
            "source": _source("rds"),
            "context": {
                "ip": "192.168.10.20",
                "user_agent": f"{_TERRAFORM} HashiCorp-terraform-exec/0.17.3",
                "request_id": "5dabf4a5-a054-4792-a607-853b7aaf7cb6",
            },
        },
        _ALWAYS | {"error_code", "error_message", "request_parameters", "tls_details"},
    ),
}
