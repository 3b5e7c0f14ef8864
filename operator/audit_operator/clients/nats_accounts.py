"""Telling the NATS servers which accounts there are. They write it down and pass it on to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, Error, NoRespondersError

from audit_core.errors import AuditError, StreamUnavailable

TIMEOUT_SECONDS: Final = 5.0


class AccountRefused(AuditError):
    """A server does not accept the account's JWT; `reason` is its own word."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class _Trouble(msgspec.Struct, frozen=True, kw_only=True):
    description: str = ""


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    error: _Trouble | None = None


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of the cluster, over a connection whose user belongs to the system account."""

    connection: Client

    async def make_known(self, account: str, jwt: str) -> bool:
        """Make the servers know an account, by its public key, as `jwt` says; return whether that was new to them.

        Raises AccountRefused, and StreamUnavailable when no server answers.
        """
        if await self._request(f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP", b"") == jwt.encode():
            return False
        answer = await self._request("$SYS.REQ.CLAIMS.UPDATE", jwt.encode())
        if (error := msgspec.json.decode(answer, type=_Answer).error) is not None:
            raise AccountRefused(error.description)
        return True

    async def _request(self, subject: str, data: bytes) -> bytes:
        try:
            return (await self.connection.request(subject, data, timeout=TIMEOUT_SECONDS)).data
        except NoRespondersError as error:
            raise StreamUnavailable("no server answers the system account") from error
        except (TimeoutError, ConnectionClosedError, Error) as error:
            raise StreamUnavailable(type(error).__name__) from error
