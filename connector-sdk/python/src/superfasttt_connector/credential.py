"""What a call authenticates with. Printing it never shows a secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from superfasttt.connector.v1 import connector_pb2 as pb

from .errors import CredentialExpired, SettingsInvalid


class Credential:
    """A fresh credential, good for this call only: keep nothing of it."""

    def __init__(self, credential: pb.Credential) -> None:
        self._credential = credential

    @property
    def kind(self) -> str:
        """`oauth2`, `api_key`, `bearer_token`, `basic`, `client_certificate`, `fields`, or `none`."""
        return self._credential.WhichOneof("kind") or "none"

    @property
    def token(self) -> str:
        """The single secret of an OAuth grant, a bearer token or an API key.

        Of a credential with several fields that is the only one, or the one called `key` or `token`.

        Raises:
            SettingsInvalid: it has no such single secret.
        """
        found = self._token()
        if found is None:
            raise self._other_kind("a token")
        return found

    @property
    def token_type(self) -> str:
        """How an OAuth token is presented."""
        return self._credential.oauth2.token_type or "Bearer"

    @property
    def basic(self) -> tuple[str, str]:
        """User name and password.

        Raises:
            SettingsInvalid: the credential is of another kind.
        """
        if self.kind == "basic":
            return self._credential.basic.username, self._credential.basic.password
        fields = self._credential.fields.values
        if "username" in fields and "password" in fields:
            return fields["username"], fields["password"]
        raise self._other_kind("a user name and password")

    @property
    def client_certificate(self) -> tuple[str, str]:
        """Certificate chain and private key, both PEM.

        Raises:
            SettingsInvalid: the credential is of another kind.
        """
        if self.kind == "client_certificate":
            pair = self._credential.client_certificate
            return pair.certificate_pem, pair.private_key_pem
        fields = self._credential.fields.values
        if "certificate_pem" in fields and "private_key_pem" in fields:
            return fields["certificate_pem"], fields["private_key_pem"]
        raise self._other_kind("a client certificate")

    @property
    def fields(self) -> Mapping[str, str]:
        """The values that the manifest's `auth.fields` declares. Empty for a credential of another kind."""
        return dict(self._credential.fields.values)

    @property
    def extras(self) -> Mapping[str, str]:
        """Values of the token reply that the manifest asked to keep, such as `instance_url`."""
        return dict(self._credential.extras)

    @property
    def scopes(self) -> list[str]:
        """The scopes that were granted. Empty: the provider did not say."""
        return list(self._credential.oauth2.scopes)

    @property
    def expires_at(self) -> datetime | None:
        """When it ends, where that is known."""
        if not self._credential.HasField("expires_at"):
            return None
        return self._credential.expires_at.ToDatetime(tzinfo=timezone.utc)

    def identity(self) -> bytes:
        """What tells this credential from others. It holds the secrets."""
        return self._credential.SerializeToString(deterministic=True)

    def secrets(self, public_fields: frozenset[str] = frozenset()) -> list[str]:
        """Every value that must never be shown; `public_fields` are those that the manifest says are no secrets."""
        credential = self._credential
        found = [
            credential.oauth2.access_token,
            credential.api_key.key,
            credential.bearer_token.token,
            credential.basic.password,
            credential.client_certificate.private_key_pem,
        ]
        found += [value for name, value in credential.fields.values.items() if name not in public_fields]
        return [value for value in found if value]

    def _token(self) -> str | None:
        match self.kind:
            case "oauth2":
                return self._credential.oauth2.access_token
            case "bearer_token":
                return self._credential.bearer_token.token
            case "api_key":
                return self._credential.api_key.key
            case "fields":
                values = self._credential.fields.values
                names = ["key", "token", *values] if len(values) == 1 else ["key", "token"]
                return next((values[name] for name in names if name in values), None)
        return None

    def _other_kind(self, wanted: str) -> SettingsInvalid:
        return SettingsInvalid(f"this connector needs {wanted}; the credential is of kind {self.kind}")

    def __repr__(self) -> str:
        return f"Credential({self.kind}, REDACTED)"


class OAuth:
    """`self.oauth`: the grant as the connector sees it. The server holds the refresh token, and refreshes."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def create_token(self) -> str:
        """The access token that the server gave for this call.

        Raises:
            SettingsInvalid: the credential is no token.
        """
        return self._credential.token

    async def refresh_token(self) -> str:
        """Ends the call: the server refreshes the access token and calls again from the last checkpoint.

        Raises:
            CredentialExpired: always.
        """
        raise CredentialExpired("the source refused the access token, or it has ended")
