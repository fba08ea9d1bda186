"""Write a superfasttt connector: a class with `pull` and `normalize`, and `run(YourConnector)`.

connector-sdk/python/README.md is where to begin.
"""

from importlib.metadata import version

VERSION = version("superfasttt-connector")

from .answers import Action, Checks, Content, Discover, Event, EventAnswer, Resource, Resources  # noqa: E402
from .changes import (  # noqa: E402
    Cause,
    Checkpoint,
    Container,
    Deletion,
    InScope,
    ItemError,
    Key,
    ListingComplete,
    Mode,
    Page,
    PermissionsChange,
    Present,
    Progress,
    ScopeRemoved,
)
from .connector import BaseConnector  # noqa: E402
from .credential import Credential, OAuth  # noqa: E402
from .envelope import DocumentEnvelope, Permissions  # noqa: E402
from .errors import (  # noqa: E402
    AccessDenied,
    ConnectorError,
    ContentTooLarge,
    ContentUnreadable,
    CredentialExpired,
    CredentialRevoked,
    CursorInvalid,
    NotFound,
    PaginationLoop,
    PermissionsUnknown,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
    ScopeMissing,
    SettingsInvalid,
    SourceUnavailable,
    Unimplemented,
)
from .program import run  # noqa: E402

__all__ = [
    "AccessDenied",
    "Action",
    "BaseConnector",
    "Cause",
    "Checkpoint",
    "Checks",
    "ConnectorError",
    "Container",
    "Content",
    "ContentTooLarge",
    "ContentUnreadable",
    "Credential",
    "CredentialExpired",
    "CredentialRevoked",
    "CursorInvalid",
    "Deletion",
    "Discover",
    "DocumentEnvelope",
    "Event",
    "EventAnswer",
    "InScope",
    "ItemError",
    "Key",
    "ListingComplete",
    "Mode",
    "NotFound",
    "OAuth",
    "Page",
    "PaginationLoop",
    "Permissions",
    "PermissionsChange",
    "PermissionsUnknown",
    "Present",
    "Progress",
    "ProtocolViolation",
    "QuotaExhausted",
    "RateLimited",
    "Resource",
    "Resources",
    "ScopeMissing",
    "ScopeRemoved",
    "SettingsInvalid",
    "SourceUnavailable",
    "Unimplemented",
    "run",
]
