"""What one call to a connector is made of. Each call has an instance of the connector of its own, and this behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from superfasttt.connector.v1 import connector_pb2 as pb

from . import settings as settings_module
from .changes import Mode
from .classify import Classifier
from .credential import Credential
from .errors import ConnectorError
from .http import client
from .log import Log, without_secrets
from .manifest import Manifest
from .redact import Redactor

if TYPE_CHECKING:
    from .connector import BaseConnector

Factory = Callable[[Any], Any]
"""Makes `self.loader` or `self.api`, given the connector of a call."""


@dataclass(slots=True)
class Program:
    """What is the same for every call: the author's class, its manifest, and what `run` was given."""

    connector: type[BaseConnector[Any]]
    manifest: Manifest
    factories: Mapping[str, Factory] = field(default_factory=dict)

    @asynccontextmanager
    async def call(
        self,
        settings: Mapping[str, Any] | None,
        credential: pb.Credential | None,
        *,
        mode: Mode = Mode.FULL,
        trace: str = "",
        partial_settings: bool = False,
        signing_secret: str = "",
        to_run: Callable[[pb.LogRecord], None] | None = None,
    ) -> AsyncIterator[BaseConnector[Any]]:
        """A connector for one call, which ends with it: nothing is kept between calls.

        Raises:
            SettingsInvalid: the settings do not fit the author's model.
        """
        given = Credential(credential if credential is not None else pb.Credential())
        values = dict(settings or {})
        secrets = [
            *given.secrets(self.manifest.public_fields),
            *settings_module.secrets(self.manifest.settings_schema, values),
            signing_secret,
        ]
        redactor = Redactor(secrets)
        with without_secrets(redactor):
            parse = settings_module.partial if partial_settings else settings_module.parse
            call = Call(
                program=self,
                settings=parse(self.connector.settings_model, values),
                settings_values=values,
                credential=given,
                mode=mode,
                trace=trace,
                redactor=redactor,
                classifier=Classifier(self.connector.error_table, self.manifest.auth_type),
                log=Log(self.manifest.id, redactor, to_run),
            )
            try:
                yield self.connector(call)
            finally:
                await call.close()


@dataclass(slots=True)
class Call:
    """What the SDK knows of a call. Authors use the attributes of their connector instead."""

    program: Program
    settings: Any
    settings_values: dict[str, Any]
    credential: Credential
    mode: Mode
    trace: str
    redactor: Redactor
    classifier: Classifier
    log: Log
    known_scopes: list[str] = field(default_factory=list)
    credential_lifetime: float | None = None
    sync: Callable[[], Any] | None = None
    """Runs the pull; set while there is one."""
    _http: httpx.AsyncClient | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        """The HTTP client of this call, made when it is first used."""
        if self._http is None:
            self._http = client.make(self)
        return self._http

    def told(self, error: BaseException) -> ConnectorError:
        """The error that is told of an exception: with its reason, and without secrets."""
        found = self.classifier.classify(error)
        found.message = self.redactor.mask(found.message)
        found.metadata = {name: self.redactor.mask(value) for name, value in found.metadata.items()}
        return found

    async def close(self) -> None:
        """Ends what the call has opened."""
        if self._http is not None:
            await self._http.aclose()
