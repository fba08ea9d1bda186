import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from superfasttt.connector.v1 import document_pb2 as _document_pb2
from superfasttt.connector.v1 import errors_pb2 as _errors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PullMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PULL_MODE_UNSPECIFIED: _ClassVar[PullMode]
    PULL_MODE_INCREMENTAL: _ClassVar[PullMode]
    PULL_MODE_FULL: _ClassVar[PullMode]
    PULL_MODE_LIST: _ClassVar[PullMode]
    PULL_MODE_TARGETED: _ClassVar[PullMode]
PULL_MODE_UNSPECIFIED: PullMode
PULL_MODE_INCREMENTAL: PullMode
PULL_MODE_FULL: PullMode
PULL_MODE_LIST: PullMode
PULL_MODE_TARGETED: PullMode

class DescribeRequest(_message.Message):
    __slots__ = ("contract_revision",)
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    contract_revision: int
    def __init__(self, contract_revision: _Optional[int] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("manifest_json", "capabilities", "contract_revisions", "sdk")
    MANIFEST_JSON_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISIONS_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    manifest_json: str
    capabilities: Capabilities
    contract_revisions: _containers.RepeatedScalarFieldContainer[int]
    sdk: str
    def __init__(self, manifest_json: _Optional[str] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ..., contract_revisions: _Optional[_Iterable[int]] = ..., sdk: _Optional[str] = ...) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("incremental", "full_listing", "list", "targeted", "discover", "fetch_content", "handle_event", "execute")
    INCREMENTAL_FIELD_NUMBER: _ClassVar[int]
    FULL_LISTING_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    TARGETED_FIELD_NUMBER: _ClassVar[int]
    DISCOVER_FIELD_NUMBER: _ClassVar[int]
    FETCH_CONTENT_FIELD_NUMBER: _ClassVar[int]
    HANDLE_EVENT_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_FIELD_NUMBER: _ClassVar[int]
    incremental: bool
    full_listing: bool
    list: bool
    targeted: bool
    discover: bool
    fetch_content: bool
    handle_event: bool
    execute: bool
    def __init__(self, incremental: _Optional[bool] = ..., full_listing: _Optional[bool] = ..., list: _Optional[bool] = ..., targeted: _Optional[bool] = ..., discover: _Optional[bool] = ..., fetch_content: _Optional[bool] = ..., handle_event: _Optional[bool] = ..., execute: _Optional[bool] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("oauth2", "api_key", "bearer_token", "basic", "client_certificate", "fields", "expires_at", "extras")
    class ExtrasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OAUTH2_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    BEARER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    BASIC_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    oauth2: OAuthToken
    api_key: ApiKey
    bearer_token: BearerToken
    basic: BasicCredential
    client_certificate: ClientCertificate
    fields: FieldsCredential
    expires_at: _timestamp_pb2.Timestamp
    extras: _containers.ScalarMap[str, str]
    def __init__(self, oauth2: _Optional[_Union[OAuthToken, _Mapping]] = ..., api_key: _Optional[_Union[ApiKey, _Mapping]] = ..., bearer_token: _Optional[_Union[BearerToken, _Mapping]] = ..., basic: _Optional[_Union[BasicCredential, _Mapping]] = ..., client_certificate: _Optional[_Union[ClientCertificate, _Mapping]] = ..., fields: _Optional[_Union[FieldsCredential, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., extras: _Optional[_Mapping[str, str]] = ...) -> None: ...

class OAuthToken(_message.Message):
    __slots__ = ("access_token", "token_type", "scopes")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_TYPE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    token_type: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, access_token: _Optional[str] = ..., token_type: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ...) -> None: ...

class ApiKey(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class BearerToken(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class BasicCredential(_message.Message):
    __slots__ = ("username", "password")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    username: str
    password: str
    def __init__(self, username: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class ClientCertificate(_message.Message):
    __slots__ = ("certificate_pem", "private_key_pem")
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    certificate_pem: str
    private_key_pem: str
    def __init__(self, certificate_pem: _Optional[str] = ..., private_key_pem: _Optional[str] = ...) -> None: ...

class FieldsCredential(_message.Message):
    __slots__ = ("values",)
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.ScalarMap[str, str]
    def __init__(self, values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TestConnectionRequest(_message.Message):
    __slots__ = ("settings", "credential", "contract_revision")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    settings: _struct_pb2.Struct
    credential: Credential
    contract_revision: int
    def __init__(self, settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., credential: _Optional[_Union[Credential, _Mapping]] = ..., contract_revision: _Optional[int] = ...) -> None: ...

class TestConnectionResponse(_message.Message):
    __slots__ = ("checks", "account")
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[Check]
    account: AccountIdentity
    def __init__(self, checks: _Optional[_Iterable[_Union[Check, _Mapping]]] = ..., account: _Optional[_Union[AccountIdentity, _Mapping]] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("name", "outcome", "message", "fix")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[Check.Outcome]
        OUTCOME_PASSED: _ClassVar[Check.Outcome]
        OUTCOME_FAILED: _ClassVar[Check.Outcome]
        OUTCOME_WARNING: _ClassVar[Check.Outcome]
        OUTCOME_SKIPPED: _ClassVar[Check.Outcome]
    OUTCOME_UNSPECIFIED: Check.Outcome
    OUTCOME_PASSED: Check.Outcome
    OUTCOME_FAILED: Check.Outcome
    OUTCOME_WARNING: Check.Outcome
    OUTCOME_SKIPPED: Check.Outcome
    NAME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIX_FIELD_NUMBER: _ClassVar[int]
    name: str
    outcome: Check.Outcome
    message: str
    fix: str
    def __init__(self, name: _Optional[str] = ..., outcome: _Optional[_Union[Check.Outcome, str]] = ..., message: _Optional[str] = ..., fix: _Optional[str] = ...) -> None: ...

class AccountIdentity(_message.Message):
    __slots__ = ("id", "display_name", "email")
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    display_name: str
    email: str
    def __init__(self, id: _Optional[str] = ..., display_name: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class DiscoverRequest(_message.Message):
    __slots__ = ("settings", "credential", "contract_revision", "picker", "parent_id", "query", "page_size", "page_token")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    PICKER_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    settings: _struct_pb2.Struct
    credential: Credential
    contract_revision: int
    picker: str
    parent_id: str
    query: str
    page_size: int
    page_token: str
    def __init__(self, settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., credential: _Optional[_Union[Credential, _Mapping]] = ..., contract_revision: _Optional[int] = ..., picker: _Optional[str] = ..., parent_id: _Optional[str] = ..., query: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class DiscoverResponse(_message.Message):
    __slots__ = ("resources", "next_page_token")
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    next_page_token: str
    def __init__(self, resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("id", "name", "kind", "has_children", "selectable")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    HAS_CHILDREN_FIELD_NUMBER: _ClassVar[int]
    SELECTABLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    kind: str
    has_children: bool
    selectable: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., has_children: _Optional[bool] = ..., selectable: _Optional[bool] = ...) -> None: ...

class PullRequest(_message.Message):
    __slots__ = ("settings", "credential", "mode", "scopes", "states", "ids", "contract_revision", "want_raw", "limits", "except_scopes", "known_scopes")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    WANT_RAW_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_SCOPES_FIELD_NUMBER: _ClassVar[int]
    KNOWN_SCOPES_FIELD_NUMBER: _ClassVar[int]
    settings: _struct_pb2.Struct
    credential: Credential
    mode: PullMode
    scopes: _containers.RepeatedScalarFieldContainer[str]
    states: _containers.RepeatedCompositeFieldContainer[ScopeState]
    ids: _containers.RepeatedScalarFieldContainer[str]
    contract_revision: int
    want_raw: bool
    limits: PullLimits
    except_scopes: _containers.RepeatedScalarFieldContainer[str]
    known_scopes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., credential: _Optional[_Union[Credential, _Mapping]] = ..., mode: _Optional[_Union[PullMode, str]] = ..., scopes: _Optional[_Iterable[str]] = ..., states: _Optional[_Iterable[_Union[ScopeState, _Mapping]]] = ..., ids: _Optional[_Iterable[str]] = ..., contract_revision: _Optional[int] = ..., want_raw: _Optional[bool] = ..., limits: _Optional[_Union[PullLimits, _Mapping]] = ..., except_scopes: _Optional[_Iterable[str]] = ..., known_scopes: _Optional[_Iterable[str]] = ...) -> None: ...

class ScopeState(_message.Message):
    __slots__ = ("scope", "cursor")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    scope: str
    cursor: bytes
    def __init__(self, scope: _Optional[str] = ..., cursor: _Optional[bytes] = ...) -> None: ...

class PullLimits(_message.Message):
    __slots__ = ("max_page_bytes", "max_page_changes", "credential_lifetime")
    MAX_PAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PAGE_CHANGES_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    max_page_bytes: int
    max_page_changes: int
    credential_lifetime: _duration_pb2.Duration
    def __init__(self, max_page_bytes: _Optional[int] = ..., max_page_changes: _Optional[int] = ..., credential_lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PullResponse(_message.Message):
    __slots__ = ("page", "scope_error", "scope_removed", "progress", "log")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_ERROR_FIELD_NUMBER: _ClassVar[int]
    SCOPE_REMOVED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    page: Page
    scope_error: ScopeError
    scope_removed: ScopeRemoved
    progress: Progress
    log: LogRecord
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ..., scope_error: _Optional[_Union[ScopeError, _Mapping]] = ..., scope_removed: _Optional[_Union[ScopeRemoved, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., log: _Optional[_Union[LogRecord, _Mapping]] = ...) -> None: ...

class Page(_message.Message):
    __slots__ = ("scope", "changes", "checkpoint")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    scope: str
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    checkpoint: Checkpoint
    def __init__(self, scope: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("cursor", "has_more", "listing_complete")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    LISTING_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    cursor: bytes
    has_more: bool
    listing_complete: bool
    def __init__(self, cursor: _Optional[bytes] = ..., has_more: _Optional[bool] = ..., listing_complete: _Optional[bool] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("document", "raw", "present", "permissions", "deletion", "container", "item_error")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    DELETION_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    ITEM_ERROR_FIELD_NUMBER: _ClassVar[int]
    document: _document_pb2.DocumentEnvelope
    raw: RawItem
    present: Present
    permissions: PermissionsChange
    deletion: Deletion
    container: Container
    item_error: ItemError
    def __init__(self, document: _Optional[_Union[_document_pb2.DocumentEnvelope, _Mapping]] = ..., raw: _Optional[_Union[RawItem, _Mapping]] = ..., present: _Optional[_Union[Present, _Mapping]] = ..., permissions: _Optional[_Union[PermissionsChange, _Mapping]] = ..., deletion: _Optional[_Union[Deletion, _Mapping]] = ..., container: _Optional[_Union[Container, _Mapping]] = ..., item_error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class RawItem(_message.Message):
    __slots__ = ("id", "version", "content_ref", "schema", "data")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_REF_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    content_ref: str
    schema: str
    data: bytes
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ..., content_ref: _Optional[str] = ..., schema: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Present(_message.Message):
    __slots__ = ("id", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class PermissionsChange(_message.Message):
    __slots__ = ("id", "permissions")
    ID_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    permissions: _document_pb2.Permissions
    def __init__(self, id: _Optional[str] = ..., permissions: _Optional[_Union[_document_pb2.Permissions, _Mapping]] = ...) -> None: ...

class Deletion(_message.Message):
    __slots__ = ("id", "locator", "with_descendants")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOCATOR_FIELD_NUMBER: _ClassVar[int]
    WITH_DESCENDANTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    locator: str
    with_descendants: bool
    def __init__(self, id: _Optional[str] = ..., locator: _Optional[str] = ..., with_descendants: _Optional[bool] = ...) -> None: ...

class Container(_message.Message):
    __slots__ = ("id", "parent_id", "name", "locator")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOCATOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    parent_id: str
    name: str
    locator: str
    def __init__(self, id: _Optional[str] = ..., parent_id: _Optional[str] = ..., name: _Optional[str] = ..., locator: _Optional[str] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("id", "locator", "with_descendants", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOCATOR_FIELD_NUMBER: _ClassVar[int]
    WITH_DESCENDANTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    locator: str
    with_descendants: bool
    error: _errors_pb2.Error
    def __init__(self, id: _Optional[str] = ..., locator: _Optional[str] = ..., with_descendants: _Optional[bool] = ..., error: _Optional[_Union[_errors_pb2.Error, _Mapping]] = ...) -> None: ...

class ScopeError(_message.Message):
    __slots__ = ("scope", "error")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    scope: str
    error: _errors_pb2.Error
    def __init__(self, scope: _Optional[str] = ..., error: _Optional[_Union[_errors_pb2.Error, _Mapping]] = ...) -> None: ...

class ScopeRemoved(_message.Message):
    __slots__ = ("scope", "reason")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[ScopeRemoved.Cause]
        CAUSE_GONE: _ClassVar[ScopeRemoved.Cause]
        CAUSE_ACCESS_LOST: _ClassVar[ScopeRemoved.Cause]
        CAUSE_DESELECTED: _ClassVar[ScopeRemoved.Cause]
    CAUSE_UNSPECIFIED: ScopeRemoved.Cause
    CAUSE_GONE: ScopeRemoved.Cause
    CAUSE_ACCESS_LOST: ScopeRemoved.Cause
    CAUSE_DESELECTED: ScopeRemoved.Cause
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    scope: str
    reason: ScopeRemoved.Cause
    def __init__(self, scope: _Optional[str] = ..., reason: _Optional[_Union[ScopeRemoved.Cause, str]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("items_seen", "items_total", "message")
    ITEMS_SEEN_FIELD_NUMBER: _ClassVar[int]
    ITEMS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    items_seen: int
    items_total: int
    message: str
    def __init__(self, items_seen: _Optional[int] = ..., items_total: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class LogRecord(_message.Message):
    __slots__ = ("level", "message", "fields")
    class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LEVEL_UNSPECIFIED: _ClassVar[LogRecord.Level]
        LEVEL_DEBUG: _ClassVar[LogRecord.Level]
        LEVEL_INFO: _ClassVar[LogRecord.Level]
        LEVEL_WARN: _ClassVar[LogRecord.Level]
        LEVEL_ERROR: _ClassVar[LogRecord.Level]
    LEVEL_UNSPECIFIED: LogRecord.Level
    LEVEL_DEBUG: LogRecord.Level
    LEVEL_INFO: LogRecord.Level
    LEVEL_WARN: LogRecord.Level
    LEVEL_ERROR: LogRecord.Level
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    level: LogRecord.Level
    message: str
    fields: _containers.ScalarMap[str, str]
    def __init__(self, level: _Optional[_Union[LogRecord.Level, str]] = ..., message: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ...) -> None: ...

class NormalizeRequest(_message.Message):
    __slots__ = ("start", "raw")
    START_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    start: NormalizeStart
    raw: RawItem
    def __init__(self, start: _Optional[_Union[NormalizeStart, _Mapping]] = ..., raw: _Optional[_Union[RawItem, _Mapping]] = ...) -> None: ...

class NormalizeStart(_message.Message):
    __slots__ = ("settings", "contract_revision")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    settings: _struct_pb2.Struct
    contract_revision: int
    def __init__(self, settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., contract_revision: _Optional[int] = ...) -> None: ...

class NormalizeResponse(_message.Message):
    __slots__ = ("document", "item_error")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    ITEM_ERROR_FIELD_NUMBER: _ClassVar[int]
    document: _document_pb2.DocumentEnvelope
    item_error: ItemError
    def __init__(self, document: _Optional[_Union[_document_pb2.DocumentEnvelope, _Mapping]] = ..., item_error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class FetchContentRequest(_message.Message):
    __slots__ = ("settings", "credential", "contract_revision", "id", "content_ref", "version", "max_bytes")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_REF_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    settings: _struct_pb2.Struct
    credential: Credential
    contract_revision: int
    id: str
    content_ref: str
    version: str
    max_bytes: int
    def __init__(self, settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., credential: _Optional[_Union[Credential, _Mapping]] = ..., contract_revision: _Optional[int] = ..., id: _Optional[str] = ..., content_ref: _Optional[str] = ..., version: _Optional[str] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class FetchContentResponse(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: ContentHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[ContentHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ContentHeader(_message.Message):
    __slots__ = ("media_type", "length_bytes", "version")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    length_bytes: int
    version: str
    def __init__(self, media_type: _Optional[str] = ..., length_bytes: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...

class HandleEventRequest(_message.Message):
    __slots__ = ("settings", "credential", "contract_revision", "method", "path", "headers", "body", "signing_secret")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNING_SECRET_FIELD_NUMBER: _ClassVar[int]
    settings: _struct_pb2.Struct
    credential: Credential
    contract_revision: int
    method: str
    path: str
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    body: bytes
    signing_secret: str
    def __init__(self, settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., credential: _Optional[_Union[Credential, _Mapping]] = ..., contract_revision: _Optional[int] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., body: _Optional[bytes] = ..., signing_secret: _Optional[str] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class HandleEventResponse(_message.Message):
    __slots__ = ("verified", "changed_ids", "scopes", "all_scopes", "answer", "routing_keys")
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_IDS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    ALL_SCOPES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ROUTING_KEYS_FIELD_NUMBER: _ClassVar[int]
    verified: bool
    changed_ids: _containers.RepeatedScalarFieldContainer[str]
    scopes: _containers.RepeatedScalarFieldContainer[str]
    all_scopes: bool
    answer: HttpAnswer
    routing_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, verified: _Optional[bool] = ..., changed_ids: _Optional[_Iterable[str]] = ..., scopes: _Optional[_Iterable[str]] = ..., all_scopes: _Optional[bool] = ..., answer: _Optional[_Union[HttpAnswer, _Mapping]] = ..., routing_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class HttpAnswer(_message.Message):
    __slots__ = ("status", "content_type", "body")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    status: int
    content_type: str
    body: bytes
    def __init__(self, status: _Optional[int] = ..., content_type: _Optional[str] = ..., body: _Optional[bytes] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("settings", "credential", "contract_revision", "action", "input", "idempotency_key")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    settings: _struct_pb2.Struct
    credential: Credential
    contract_revision: int
    action: str
    input: _struct_pb2.Struct
    idempotency_key: str
    def __init__(self, settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., credential: _Optional[_Union[Credential, _Mapping]] = ..., contract_revision: _Optional[int] = ..., action: _Optional[str] = ..., input: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("output",)
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    output: _struct_pb2.Struct
    def __init__(self, output: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
