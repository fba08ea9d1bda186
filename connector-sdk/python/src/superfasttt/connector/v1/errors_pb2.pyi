from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_CREDENTIAL_EXPIRED: _ClassVar[Reason]
    REASON_CREDENTIAL_REVOKED: _ClassVar[Reason]
    REASON_SCOPE_MISSING: _ClassVar[Reason]
    REASON_ACCESS_DENIED: _ClassVar[Reason]
    REASON_NOT_FOUND: _ClassVar[Reason]
    REASON_RATE_LIMITED: _ClassVar[Reason]
    REASON_QUOTA_EXHAUSTED: _ClassVar[Reason]
    REASON_CURSOR_INVALID: _ClassVar[Reason]
    REASON_PAGINATION_LOOP: _ClassVar[Reason]
    REASON_NO_PROGRESS: _ClassVar[Reason]
    REASON_SETTINGS_INVALID: _ClassVar[Reason]
    REASON_SOURCE_UNAVAILABLE: _ClassVar[Reason]
    REASON_CONTENT_TOO_LARGE: _ClassVar[Reason]
    REASON_CONTENT_UNREADABLE: _ClassVar[Reason]
    REASON_PERMISSIONS_UNKNOWN: _ClassVar[Reason]
    REASON_CONNECTOR_CRASHED: _ClassVar[Reason]
    REASON_PROTOCOL_VIOLATION: _ClassVar[Reason]
    REASON_INTERNAL: _ClassVar[Reason]
    REASON_TOO_MANY_ITEM_ERRORS: _ClassVar[Reason]
    REASON_UNIMPLEMENTED: _ClassVar[Reason]
REASON_UNSPECIFIED: Reason
REASON_CREDENTIAL_EXPIRED: Reason
REASON_CREDENTIAL_REVOKED: Reason
REASON_SCOPE_MISSING: Reason
REASON_ACCESS_DENIED: Reason
REASON_NOT_FOUND: Reason
REASON_RATE_LIMITED: Reason
REASON_QUOTA_EXHAUSTED: Reason
REASON_CURSOR_INVALID: Reason
REASON_PAGINATION_LOOP: Reason
REASON_NO_PROGRESS: Reason
REASON_SETTINGS_INVALID: Reason
REASON_SOURCE_UNAVAILABLE: Reason
REASON_CONTENT_TOO_LARGE: Reason
REASON_CONTENT_UNREADABLE: Reason
REASON_PERMISSIONS_UNKNOWN: Reason
REASON_CONNECTOR_CRASHED: Reason
REASON_PROTOCOL_VIOLATION: Reason
REASON_INTERNAL: Reason
REASON_TOO_MANY_ITEM_ERRORS: Reason
REASON_UNIMPLEMENTED: Reason

class Error(_message.Message):
    __slots__ = ("reason", "message", "code", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    reason: Reason
    message: str
    code: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, reason: _Optional[_Union[Reason, str]] = ..., message: _Optional[str] = ..., code: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...
