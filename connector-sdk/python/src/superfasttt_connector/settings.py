"""The connection's settings, from the wire into the author's pydantic model."""

from __future__ import annotations

from typing import Any

from google.protobuf import struct_pb2
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import TypeVar

from .errors import SettingsInvalid
from .redact import Redactor

_MAX_SAFE_INTEGER = 2**53


class AnySettings(BaseModel):
    """The settings of a connector that has no model of its own: every field of the manifest as an attribute."""

    model_config = ConfigDict(extra="allow")

    def __getattr__(self, name: str) -> Any:
        """For type checkers: pydantic answers, and raises AttributeError for what is not there."""
        return super().__getattr__(name)  # type: ignore[misc]


SettingsT = TypeVar("SettingsT", bound=BaseModel, default=AnySettings)


def parse(model: type[SettingsT], settings: dict[str, Any]) -> SettingsT:
    """The settings as `model`.

    Raises:
        SettingsInvalid: they do not fit. It says which field and why, and no value: that may be a secret.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        # What an author's own validator says may quote the value.
        why = "is refused" if first["type"] in ("value_error", "assertion_error") else first["msg"]
        why = Redactor(_texts(settings)).mask(why)
        raise SettingsInvalid(f"the setting {where!r} cannot be used: {why}", metadata={"field": where}) from None


def partial(model: type[SettingsT], settings: dict[str, Any]) -> SettingsT:
    """The settings as far as they are there: a person is still choosing them, or the call is about no connection."""
    try:
        return model.model_validate(settings)
    except ValidationError:
        return model.model_construct(**settings)


def secrets(schema: Any, value: Any) -> list[str]:
    """The texts in settings that the manifest's schema marks `x-secret`."""
    if not isinstance(schema, dict):
        return []
    if schema.get("x-secret") is True:
        return _texts(value)
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        return [text for name, part in value.items() for text in secrets(properties.get(name), part)]
    if isinstance(value, list):
        return [text for part in value for text in secrets(schema.get("items"), part)]
    return []


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


def struct_to_dict(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A protobuf struct as plain data. Whole numbers come out as int."""
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _MAX_SAFE_INTEGER else number
        case "list_value":
            return [_plain(part) for part in value.list_value.values]
        case "struct_value":
            return struct_to_dict(value.struct_value)
    return None
