"""What the SDK reads from `manifest.json`. The server checks the rest of it."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superfasttt.connector.v1 import connector_pb2 as pb

CAPABILITIES = tuple(pb.Capabilities.DESCRIPTOR.fields_by_name)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class ManifestError(Exception):
    """The connector's author must mend `manifest.json`."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in so many seconds."""

    requests: int
    seconds: float
    shared: bool = False
    """All connections of this process share it; else it is that of one."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of a manifest that the SDK acts upon."""

    text: str
    id: str
    capabilities: pb.Capabilities
    auth_type: str = "none"
    fields: tuple[str, ...] = ()
    """The values of the credential, where the manifest names them."""
    public_fields: frozenset[str] = frozenset()
    """Fields of the credential that are no secrets."""
    allowed_hosts: tuple[str, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    settings_schema: dict[str, Any] = field(default_factory=dict)


def find(cls: type) -> Path:
    """Where the manifest of a connector's class lies: beside its file or, for a package, in a folder above; else here.

    Raises:
        ManifestError: nowhere.
    """
    try:
        folder = Path(inspect.getfile(cls)).resolve().parent
    except (OSError, TypeError):  # a class from an interactive session
        folder = Path.cwd()
    for place in (folder, folder.parent, Path.cwd()):
        if (place / "manifest.json").is_file():
            return place / "manifest.json"
    raise ManifestError(f"there is no manifest.json in {folder}: write one, or give run() its path")


def read(path: Path) -> Manifest:
    """Reads and checks a manifest file.

    Raises:
        ManifestError: it cannot be served, and why.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from None
    except ManifestError as error:
        raise ManifestError(f"the connector's author must mend {path}: {error}") from None


def parse(text: str) -> Manifest:
    """Reads a manifest.

    Raises:
        ManifestError: it is not JSON, or a field that the SDK needs is not as it should be.
    """
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise ManifestError(f"it is not JSON: {error}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("id"), str) or not manifest["id"]:
        raise ManifestError('it has to be an object with an "id"')
    try:
        auth = manifest.get("auth") or {}
        fields = auth.get("fields") or []
        return Manifest(
            text=text,
            id=manifest["id"],
            capabilities=_capabilities(manifest),
            auth_type=auth.get("type", "none"),
            fields=tuple(str(entry["name"]) for entry in fields),
            public_fields=frozenset(entry["name"] for entry in fields if entry.get("secret") is False),
            allowed_hosts=tuple(str(host).lower() for host in manifest.get("allowed_hosts") or ()),
            rate_limits=tuple(_rate_limit(entry) for entry in manifest.get("rate_limits") or ()),
            settings_schema=manifest.get("settings") or {},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"a field is not of its kind: {error!r}") from None


def _capabilities(manifest: dict[str, Any]) -> pb.Capabilities:
    names = list(manifest.get("capabilities") or [])
    for index, name in enumerate(names):
        if name not in CAPABILITIES:
            raise ManifestError(f"capabilities[{index}] is {name!r}; the contract knows {', '.join(CAPABILITIES)}")
    # As the server reads it: an incremental sync mode is the capability.
    if (manifest.get("sync") or {}).get("mode") == "incremental":
        names.append("incremental")
    return pb.Capabilities(**dict.fromkeys(names, True))


def _rate_limit(entry: dict[str, Any]) -> RateLimit:
    return RateLimit(int(entry["requests"]), duration(entry["per"]), entry.get("reach", "connection") != "connection")


def duration(text: str) -> float:
    """Seconds of a duration as manifests write it, such as `1s` or `1m 30s`.

    Raises:
        ManifestError: it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])", text)
    if not parts or re.sub(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])", "", text).strip():
        raise ManifestError(f"{text!r} is no duration: write for example 1s, 1m or 1h")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
