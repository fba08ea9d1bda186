"""What a connector says of itself, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from . import VERSION
from .call import Program
from .connector import BaseConnector
from .manifest import CAPABILITIES

_METHODS = {
    "targeted": "get",
    "discover": "discover",
    "fetch_content": "fetch_content",
    "handle_event": "handle_event",
    "execute": "execute",
}


def describe(program: Program) -> dict[str, Any]:
    """The manifest, the capabilities, and the problems that an author should mend."""
    manifest = program.manifest
    return {
        "manifest": json.loads(manifest.text),
        "capabilities": [name for name in CAPABILITIES if getattr(manifest.capabilities, name)],
        "sdk": f"python/{VERSION}",
        "class": program.connector.__name__,
        "problems": problems(program),
    }


def problems(program: Program) -> list[str]:
    """Where the class and the manifest say different things."""
    return [*_missing_methods(program), *_settings_differ(program)]


def as_text(found: dict[str, Any]) -> str:
    """The same for people."""
    manifest = found["manifest"]
    lines = [
        f"id            {manifest['id']}",
        f"name          {manifest.get('name', '')}",
        f"version       {manifest.get('version', '')}",
        f"class         {found['class']}",
        f"capabilities  {', '.join(found['capabilities']) or 'none'}",
        f"auth          {(manifest.get('auth') or {}).get('type', 'none')}",
        f"sdk           {found['sdk']}",
    ]
    lines += [f"PROBLEM       {problem}" for problem in found["problems"]] or ["problems      none"]
    return "\n".join(lines)


def _missing_methods(program: Program) -> Iterator[str]:
    cls = program.connector
    for name in ("pull", "normalize"):
        if getattr(cls, name) is getattr(BaseConnector, name):
            yield f"{cls.__name__} does not override `{name}`"
    for capability, name in _METHODS.items():
        declared = getattr(program.manifest.capabilities, capability)
        overridden = getattr(cls, name) is not getattr(BaseConnector, name)
        if declared and not overridden:
            yield f"the manifest declares {capability} and {cls.__name__} does not override `{name}`"
        if overridden and not declared:
            yield f"{cls.__name__} overrides `{name}` and the manifest does not declare {capability}"


def _settings_differ(program: Program) -> Iterator[str]:
    """Where the settings' model and the manifest's schema say different things: what is saved must be readable."""
    model = program.connector.settings_model.model_json_schema()
    schema = program.manifest.settings_schema
    ours, theirs = model.get("properties") or {}, schema.get("properties") or {}
    if program.connector.settings_model.model_config.get("extra") == "allow" and not ours:
        return  # no model of its own
    for name in theirs.keys() - ours.keys():
        yield f"the manifest's setting {name!r} is not in {program.connector.settings_model.__name__}"
    for name in ours.keys() - theirs.keys():
        yield f"{program.connector.settings_model.__name__}.{name} is not in the manifest's settings"
    for name in sorted(ours.keys() & theirs.keys()):
        mine, said = _types(ours[name], model), _types(theirs[name], schema)
        if mine and said and not said <= mine:
            yield f"the setting {name!r} is {_or(said)} in the manifest and {_or(mine)} in the model"
        given = name in (schema.get("required") or ()) or "default" in theirs[name]
        secret = theirs[name].get("x-secret") is True
        if name in (model.get("required") or ()) and (secret or not given):
            why = "is secret, so that `normalize` does not get it" if secret else "need not be given"
            yield f"the setting {name!r} {why}: give it a default in the model"


def _types(schema: dict[str, Any], root: dict[str, Any]) -> set[str]:
    """The JSON types that a schema takes; none where it does not say so simply."""
    if "$ref" in schema:
        return _types((root.get("$defs") or {}).get(str(schema["$ref"]).rpartition("/")[2]) or {}, root)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            parts = [_types(part, root) for part in schema[word]]
            return set().union(*parts) if all(parts) else set()
    found = schema.get("type")
    types = {found} if isinstance(found, str) else set(found or ())
    # Each whole number is a number.
    return types | {"integer"} if "number" in types else types


def _or(types: set[str]) -> str:
    return " or ".join(sorted(types))
