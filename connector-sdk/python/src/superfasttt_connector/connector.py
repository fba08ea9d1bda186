"""What an author writes: a class that reads one kind of source."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any, ClassVar, Generic

import httpx
from pydantic import BaseModel

from . import raw
from .answers import Action, Checks, Content, Discover, Event, EventAnswer, Resources
from .call import Call
from .changes import Key, Mode, ScopeRemoved
from .classify import ErrorTable
from .credential import Credential, OAuth
from .errors import ConnectorError, Unimplemented
from .log import Log
from .probe import FIRST_PAGE_SECONDS, first_page
from .settings import AnySettings, SettingsT


class BaseConnector(Generic[SettingsT]):
    """Reads one kind of source. Write `pull` and `normalize`; override what else the source needs.

    Each call of the server gets an instance of its own, with the settings and the credential of one connection: what you
    keep in `self` never meets another connection, and is gone when the call ends.

    Methods that talk to the source may be `async def`, or plain functions, which run in a thread.
    """

    settings_model: ClassVar[type[BaseModel]] = AnySettings
    """Read from `BaseConnector[YourSettings]`."""
    error_table: ClassVar[ErrorTable] = {}
    """Which reason an HTTP status or an exception of your libraries is. It comes before the table of the SDK."""
    cursor_model: ClassVar[type[BaseModel] | None] = None
    """The shape of your cursors, where they have one: `pull` is given them as it. One that does not fit, as an older version of
    the connector may have written it, is CURSOR_INVALID: the scope is listed in full."""
    raw_schema: ClassVar[str] = "item/1"
    """The shape of your raw items. Change it when the shape changes, and read older ones in `decode_raw`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            if isinstance(typing.get_origin(base), type) and issubclass(typing.get_origin(base), BaseConnector):
                model = typing.get_args(base)[0]
                if isinstance(model, type) and issubclass(model, BaseModel):
                    cls.settings_model = model

    def __init__(self, call: Call) -> None:
        self._call = call
        self._parts: dict[str, Any] = {}
        self.settings: SettingsT = call.settings
        """The connection's settings."""
        self.credential: Credential = call.credential
        """What to authenticate with. `self.http` does it by itself."""
        self.oauth = OAuth(call.credential)
        """The OAuth grant of the connection."""
        self.mode: Mode = call.mode
        """What a pull is asked to bring."""
        self.scope: str = ""
        """The scope that is pulled now. "" where the source has only one."""
        self.log: Log = call.log
        """Structured logs: `self.log.info("opened", pages=3)`. In a pull users see them in the run's log."""

    @property
    def http(self) -> httpx.AsyncClient:
        """An `httpx.AsyncClient` that authenticates, waits, retries, keeps rate limits and raises reasons."""
        return self._call.http

    @property
    def loader(self) -> Any:
        """A loader of somebody else's: what the factory `loader` given to `run` has made for this call."""
        return self._part("loader")

    @property
    def api(self) -> Any:
        """The source's own API: what the factory `api` given to `run` has made for this call."""
        return self._part("api")

    @property
    def known_scopes(self) -> Sequence[str]:
        """The scopes of which the server holds something. Where one is gone, `scopes` says so."""
        return self._call.known_scopes

    @property
    def credential_lifetime(self) -> float | None:
        """How many seconds the credential lasts. A pull may end at a checkpoint before that."""
        return self._call.credential_lifetime

    async def connect(self) -> Any:
        """Called once before anything else in a call: sign in, open what is needed. Default: nothing."""

    async def refresh(self) -> Any:
        """Called when the source has refused an access token, before the call ends with CREDENTIAL_EXPIRED."""
        await self.oauth.refresh_token()

    async def sync(self) -> Any:
        """One pull, of whatever the server asks for. Default: `run_incremental_sync`."""
        await self.run_incremental_sync()

    async def run_incremental_sync(self) -> None:
        """Pulls each scope from where it stands, and sends what `normalize` makes of its items.

        Raises:
            ConnectorError: what ends the pull.
        """
        if self._call.sync is None:
            raise ConnectorError("run_incremental_sync was called outside a pull")
        await self._call.sync()

    async def scopes(self) -> Sequence[str | ScopeRemoved]:
        """The parts of the source that have a cursor of their own: drives, sites, channels. Default: one, "".

        Compare with `known_scopes`, and return a `ScopeRemoved` for what the source or the settings no longer have.
        """
        return ("",)

    def pull(self, cursor: Any = None) -> Any:
        """Reads `self.scope` from `cursor` on; None: from the beginning. Look at `self.mode`.

        As an async generator (or a plain one, which runs in a thread): yield items as the source gives them, `Deletion`,
        `Container`, `ItemError` and so on among them, and a `Checkpoint` at least every 60 seconds or 1,000 items.

        As a function: return a `Page` (or `{"items": …, "next_cursor": …}`) and be called again with its cursor; or a list,
        which is everything that there is.
        """
        raise Unimplemented(f"{type(self).__name__} does not override `pull`")

    def normalize(self, raw_item: Any) -> Any:
        """Makes the `DocumentEnvelope` of one item: pure, without network and clock. May be `async def`.

        It has no credential, and no settings that the manifest marks `x-secret`. What it raises is the item's error.
        """
        raise Unimplemented(f"{type(self).__name__} does not override `normalize`")

    def key(self, raw_item: Any) -> Key | str:
        """Names an item: its id, or a `Key` with version and content_ref. Pure. Default: `raw_item["id"]`."""
        try:
            identifier = raw_item["id"]
        except (KeyError, TypeError, IndexError):
            raise ConnectorError('the item has no "id": the connector\'s author has to override `key`') from None
        if identifier is None or identifier is True or identifier is False:
            raise ConnectorError("the item's \"id\" is no id: the connector's author has to override `key`")
        return identifier if type(identifier) is str else str(identifier)

    async def get(self, id: str) -> Any:
        """Reads one item for a TARGETED pull; None: it is gone. With several scopes return `InScope`."""
        raise Unimplemented(f"{type(self).__name__} does not override `get`")

    def encode_raw(self, raw_item: Any) -> bytes:
        """The item as it is kept by connections with `keep_raw`. Default: JSON."""
        return raw.to_json(raw_item)

    def decode_raw(self, schema: str, data: bytes) -> Any:
        """The item that `encode_raw` wrote, perhaps in an older version of this connector with another `schema`."""
        return raw.from_json(data)

    async def test_connection(self) -> Checks:
        """Tries the connection without syncing it. What it raises is told with its reason.

        Default: whether the first page of `pull` can be read. Override it to say whose account it is, and what to mend.
        """
        if await first_page(self):
            return Checks().passed("readable", "the source can be read")
        return Checks().skipped("readable", f"the first page takes longer than {FIRST_PAGE_SECONDS} s")

    async def discover(self, request: Discover) -> Resources:
        """Lists resources that a person may pick in settings. Capability `discover`."""
        raise Unimplemented(f"{type(self).__name__} does not override `discover`")

    async def fetch_content(self, id: str, content_ref: str, version: str) -> Content:
        """Reads the bytes of a document whose `key` gave `content_ref`. Capability `fetch_content`."""
        raise Unimplemented(f"{type(self).__name__} does not override `fetch_content`")

    async def handle_event(self, event: Event) -> EventAnswer:
        """Verifies a webhook and says what it means. Capability `handle_event`."""
        raise Unimplemented(f"{type(self).__name__} does not override `handle_event`")

    async def execute(self, action: Action) -> dict[str, Any]:
        """Carries out an action that the manifest declares. Capability `execute`."""
        raise Unimplemented(f"{type(self).__name__} does not override `execute`")

    def _part(self, name: str) -> Any:
        if name not in self._parts:
            factory = self._call.program.factories.get(name)
            if factory is None:
                raise ConnectorError(f"self.{name} is used and not given: run({type(self).__name__}, {name}=…)")
            self._parts[name] = factory(self)
        return self._parts[name]
