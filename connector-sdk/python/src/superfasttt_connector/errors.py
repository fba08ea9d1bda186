"""Why something could not be done: one exception class for each reason of the contract.

Raise the one that says what happened; it decides what the server does. `errors.proto` tells of each who must act and how
far it reaches, `docs/errors/` has a page for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import grpc

from superfasttt.connector.v1 import errors_pb2

from .wire import field, varint

Reason = errors_pb2.Reason
"""The closed list of reasons, as numbers of the contract: `Reason.REASON_RATE_LIMITED`."""

ERROR_DOMAIN = "connectors.superfasttt"
_MAX_MESSAGE_BYTES = 2 * 1024
_MAX_CODE_BYTES = 128
_MAX_FACTS = 16
_MAX_FACT_BYTES = 256


class ConnectorError(Exception):
    """A failure with its reason. Raise one of the classes below; this one itself is INTERNAL.

    Args:
        message: what happened, for a person: a lower-case fragment without full stop and without secrets. Cut at 2 KiB.
        code: your own stable code below the reason, `<connector id>.<snake_case>`.
        metadata: more facts for a program, at most 16 of 256 bytes; never secrets.
        retry_after: how many seconds to wait before it is tried again, where that is known.
    """

    reason: ClassVar[errors_pb2.Reason] = Reason.REASON_INTERNAL
    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    actor: ClassVar[str] = "author"
    """Who has to do something about it: user, admin, author or nobody."""
    ends_pull: ClassVar[bool] = False
    """Whether it concerns the whole connection also where a single item was asked for."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = clip(message, _MAX_MESSAGE_BYTES)
        self.code = clip(code, _MAX_CODE_BYTES)
        facts = sorted((metadata or {}).items())[:_MAX_FACTS]
        self.metadata = {name: clip(str(value), _MAX_FACT_BYTES) for name, value in facts}
        self.retry_after = retry_after

    @property
    def reason_name(self) -> str:
        """The reason as it is written on the wire, such as `RATE_LIMITED`."""
        return Reason.Name(self.reason).removeprefix("REASON_")

    def __str__(self) -> str:
        return f"{self.reason_name}: {self.message}"

    def to_proto(self) -> errors_pb2.Error:
        """The message for one item or one scope, sent inside a stream."""
        return errors_pb2.Error(reason=self.reason, message=self.message, code=self.code, metadata=self.metadata)

    def to_details(self) -> bytes:
        """The `google.rpc.Status` that travels as `grpc-status-details-bin`, with ErrorInfo and RetryInfo.

        Written by hand: the generated classes for it would be one more dependency, for six fields.
        """
        facts = {"actor": self.actor, **self.metadata}
        if self.code:
            facts["code"] = self.code
        info = field(b"\x0a", self.reason_name.encode()) + field(b"\x12", ERROR_DOMAIN.encode())
        for name, value in facts.items():
            info += field(b"\x1a", field(b"\x0a", name.encode()) + field(b"\x12", value.encode()))
        details = _any("google.rpc.ErrorInfo", info)
        if self.retry_after is not None:
            millis = max(0, round(self.retry_after * 1000))
            wait = b"\x08" + varint(millis // 1000) + b"\x10" + varint(millis % 1000 * 1_000_000)
            details += _any("google.rpc.RetryInfo", field(b"\x0a", wait))
        number = self.status.value[0]
        return b"\x08" + varint(number) + field(b"\x12", self.message.encode()) + details


def _any(name: str, data: bytes) -> bytes:
    url = f"type.googleapis.com/{name}"
    return field(b"\x1a", field(b"\x0a", url.encode()) + field(b"\x12", data))


def clip(text: str, max_bytes: int) -> str:
    """The text, cut to at most so many bytes at a character. What is no Unicode is replaced."""
    data = text.encode(errors="replace")
    return data[:max_bytes].decode(errors="ignore")


class CredentialExpired(ConnectorError):
    """The access token has ended. The server refreshes it and pulls again."""

    reason = Reason.REASON_CREDENTIAL_EXPIRED
    status = grpc.StatusCode.UNAUTHENTICATED
    actor = "nobody"
    ends_pull = True


class CredentialRevoked(ConnectorError):
    """The grant was withdrawn or the key is not accepted: the user must reconnect."""

    reason = Reason.REASON_CREDENTIAL_REVOKED
    status = grpc.StatusCode.UNAUTHENTICATED
    actor = "user"
    ends_pull = True


class ScopeMissing(ConnectorError):
    """The credential lacks a scope; metadata "missing" names it. The user must reconnect and agree to it."""

    reason = Reason.REASON_SCOPE_MISSING
    status = grpc.StatusCode.PERMISSION_DENIED
    actor = "user"
    ends_pull = True


class AccessDenied(ConnectorError):
    """The account may not read this item or scope. An administrator of the source must act."""

    reason = Reason.REASON_ACCESS_DENIED
    status = grpc.StatusCode.PERMISSION_DENIED
    actor = "admin"


class NotFound(ConnectorError):
    """The item, folder or root named does not exist."""

    reason = Reason.REASON_NOT_FOUND
    status = grpc.StatusCode.NOT_FOUND
    actor = "user"


class RateLimited(ConnectorError):
    """Too many requests for now. The server waits `retry_after`."""

    reason = Reason.REASON_RATE_LIMITED
    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    actor = "nobody"
    ends_pull = True


class QuotaExhausted(ConnectorError):
    """An allowance for a longer time is used up. The server waits `retry_after`."""

    reason = Reason.REASON_QUOTA_EXHAUSTED
    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    actor = "nobody"
    ends_pull = True


class CursorInvalid(ConnectorError):
    """The source no longer takes this cursor: the scope is listed in full."""

    reason = Reason.REASON_CURSOR_INVALID
    status = grpc.StatusCode.OUT_OF_RANGE
    actor = "nobody"


class PaginationLoop(ConnectorError):
    """The source's pages go round in a circle."""

    reason = Reason.REASON_PAGINATION_LOOP
    status = grpc.StatusCode.INTERNAL
    actor = "author"


class SettingsInvalid(ConnectorError):
    """The settings cannot work as they are; metadata "field" names which one."""

    reason = Reason.REASON_SETTINGS_INVALID
    status = grpc.StatusCode.INVALID_ARGUMENT
    actor = "user"
    ends_pull = True


class SourceUnavailable(ConnectorError):
    """The source does not answer, or answers that it cannot. Retried with growing pauses."""

    reason = Reason.REASON_SOURCE_UNAVAILABLE
    status = grpc.StatusCode.UNAVAILABLE
    actor = "nobody"
    ends_pull = True


class ContentTooLarge(ConnectorError):
    """The item or its bytes are over a limit."""

    reason = Reason.REASON_CONTENT_TOO_LARGE
    status = grpc.StatusCode.FAILED_PRECONDITION
    actor = "user"


class ContentUnreadable(ConnectorError):
    """Nothing can be made of the item: encrypted, damaged, incomplete or hostile. Not retried until it changes."""

    reason = Reason.REASON_CONTENT_UNREADABLE
    status = grpc.StatusCode.FAILED_PRECONDITION
    actor = "user"


class PermissionsUnknown(ConnectorError):
    """Who may see the item could not be found out."""

    reason = Reason.REASON_PERMISSIONS_UNKNOWN
    status = grpc.StatusCode.FAILED_PRECONDITION
    actor = "nobody"


class ProtocolViolation(ConnectorError):
    """The connector sent, or was asked, what the contract does not allow. The SDK raises it."""

    reason = Reason.REASON_PROTOCOL_VIOLATION
    status = grpc.StatusCode.INTERNAL
    actor = "author"
    ends_pull = True


class Unimplemented(ConnectorError):
    """The call or capability does not exist in this connector. The SDK raises it."""

    reason = Reason.REASON_UNIMPLEMENTED
    status = grpc.StatusCode.UNIMPLEMENTED
    actor = "nobody"
    ends_pull = True
