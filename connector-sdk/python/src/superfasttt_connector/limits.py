"""The sizes that the contract sets, in bytes of UTF-8."""

from __future__ import annotations

from .errors import ConnectorError, ContentTooLarge, clip

MAX_ID_BYTES = 1024
MAX_INLINE_BYTES = 1024 * 1024
MAX_CURSOR_BYTES = 64 * 1024
MAX_CHANGE_BYTES = 3 * 1024 * 1024
"""One change. Pages stay under 4 MiB with room for their scope and cursor."""
MAX_TITLE_BYTES = 4096
MAX_LOCATOR_BYTES = 4096
MAX_URL_BYTES = 8 * 1024
MAX_CONTENT_REF_BYTES = 8 * 1024
MAX_MEDIA_TYPE_BYTES = 255
MAX_METADATA_BYTES = 64 * 1024
MAX_LOG_BYTES = 4 * 1024


def text(name: str, value: object, max_bytes: int) -> bytes:
    """A text field's bytes.

    Raises:
        ConnectorError: it is no text. ContentTooLarge: it is over the limit.
    """
    if not isinstance(value, str):
        raise ConnectorError(f"the item's {name} is {type(value).__name__} and has to be text")
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise ConnectorError(f"the item's {name} is no valid Unicode") from None
    if len(data) > max_bytes:
        raise too_large(name, len(data), max_bytes, begins_with=clip(value, 100))
    return data


def item_id(value: object) -> bytes:
    """An item's id: as `text`, and not empty."""
    data = text("id", value, MAX_ID_BYTES)
    if not data:
        raise ConnectorError("the item has no id")
    return data


def too_large(name: str, size: int, max_bytes: int, begins_with: str = "") -> ContentTooLarge:
    """The error of a field that is over its limit."""
    facts = {"field": name, **({"begins_with": begins_with} if begins_with else {})}
    return ContentTooLarge(f"the item's {name} is {size} bytes and at most {max_bytes} are taken", metadata=facts)
