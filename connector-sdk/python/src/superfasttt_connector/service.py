"""The contract's service, answered by an author's connector."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from superfasttt.connector.v1 import connector_pb2 as pb

from . import VERSION, answers, content, settings, threads, wire
from .call import Program
from .changes import Mode
from .connector import BaseConnector
from .errors import ConnectorError, CredentialExpired, ProtocolViolation, SourceUnavailable, Unimplemented
from .item import Items
from .listing import Listing
from .outlet import Outlet
from .pull import Pull

CONTRACT_REVISION = 1
SERVICE = pb.DESCRIPTOR.services_by_name["Connector"].full_name
_MAX_TARGETED_IDS = 1000
_MAX_DISCOVER_PAGE = 1000

_FIXES = {
    "user": "look at the settings, and enter the credential or connect the account again",
    "admin": "an administrator of the source has to allow it",
    "author": "the connector's author has to mend it",
    "nobody": "try again later",
}
_logger = logging.getLogger("connector.sdk")
_Answer = TypeVar("_Answer")
Context = Any  # grpc.aio.ServicerContext, which has no types


class _Running:
    """A call that runs. It takes the place of gRPC's context for the methods below."""

    def __init__(self, context: Context) -> None:
        self.task: asyncio.Future[Any] | None = None
        self._context = context
        self._writing = False
        self._stopped = False

    def invocation_metadata(self) -> Any:
        """What the client has sent along."""
        return self._context.invocation_metadata()

    async def write(self, data: bytes) -> None:
        """Sends a message, and waits while the client is slower."""
        self._writing = True
        try:
            await self._context.write(data)
        finally:
            self._writing = False
            if self._stopped:
                self.stop()

    def stop(self) -> None:
        """Cancels the author's code; a write that has begun ends first, because no status can follow half of one."""
        self._stopped = True
        if not self._writing and self.task is not None:
            self.task.cancel()


class Service:
    """Serves one connector."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._capabilities = program.manifest.capabilities
        self._running: set[_Running] = set()
        self._stopping = False

    def handlers(self) -> Any:
        """What a server is given. Streams are written as bytes, which are put together here."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        shapes: dict[str, tuple[Any, Callable[[Any, Context], Awaitable[Any]], Any]] = {
            "Describe": (unary, self.describe, pb.DescribeRequest),
            "TestConnection": (unary, self.test_connection, pb.TestConnectionRequest),
            "Discover": (unary, self.discover, pb.DiscoverRequest),
            "Pull": (stream, self.pull, pb.PullRequest),
            "Normalize": (grpc.stream_stream_rpc_method_handler, self.normalize, pb.NormalizeRequest),
            "FetchContent": (stream, self.fetch_content, pb.FetchContentRequest),
            "HandleEvent": (unary, self.handle_event, pb.HandleEventRequest),
            "Execute": (unary, self.execute, pb.ExecuteRequest),
        }
        handlers = {
            name: shape(self._guarded(method), request_deserializer=request.FromString)
            for name, (shape, method, request) in shapes.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def stop(self) -> None:
        """Ends running calls with an error that says to come again."""
        self._stopping = True
        for running in self._running:
            running.stop()

    def _guarded(self, method: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
        """Turns what is raised into a status with a reason, and a stop into one that says to call again.

        The author's code runs in a task of its own, so that a stop of the process is told from a client that went away.
        """

        async def guarded(request: Any, context: Context) -> Any:
            running = _Running(context)
            running.task = task = asyncio.ensure_future(method(request, running))
            self._running.add(running)
            try:
                await asyncio.wait({task})
            finally:
                self._running.discard(running)
                # The client went away where it is not done yet. What the author's code raises then is told to nobody.
                task.cancel()
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            error = self._error_of(task)
            if error is None:
                answer = task.result()
                return answer if answer is None else answer.SerializeToString()
            trailers = (("grpc-status-details-bin", error.to_details()),)
            await context.abort(error.status, error.message, trailers)

        return guarded

    def _error_of(self, task: asyncio.Future[Any]) -> ConnectorError | None:
        """How a call has failed; None: it has not."""
        if task.cancelled():
            if self._stopping:
                return SourceUnavailable("the connector is stopping: call again")
            return ConnectorError("the connector's code has cancelled itself")
        error = task.exception()
        if error is None or isinstance(error, ConnectorError):
            return error
        _logger.error("a call ended with a fault of the SDK", exc_info=error)
        return ConnectorError(f"the connector's SDK raised {type(error).__name__}: its log says where")

    async def describe(self, request: pb.DescribeRequest, _: Context) -> pb.DescribeResponse:
        """Says who the connector is."""
        _check_revision(request)
        return pb.DescribeResponse(
            manifest_json=self._program.manifest.text,
            capabilities=self._capabilities,
            contract_revisions=[CONTRACT_REVISION],
            sdk=f"python/{VERSION}",
        )

    async def test_connection(self, request: pb.TestConnectionRequest, context: Context) -> pb.TestConnectionResponse:
        """Tries a connection. What stands in its way is a failed check."""
        _check_revision(request)

        async def work(connector: BaseConnector[Any]) -> pb.TestConnectionResponse:
            await threads.called(connector.connect)
            checks: answers.Checks = await threads.called(connector.test_connection)
            return checks.response

        try:
            return await self._work(request, context, work)
        except CredentialExpired:
            raise  # the server refreshes, and tries again
        except ConnectorError as error:
            if type(error) is ConnectorError:
                raise
            # A failed check is an answer: a person sees it beside what was entered.
            return answers.Checks().failed(error.reason_name.lower(), error.message, _FIXES[error.actor]).response

    async def discover(self, request: pb.DiscoverRequest, context: Context) -> pb.DiscoverResponse:
        """Lists resources under a parent."""
        self._require(self._capabilities.discover, "discover")
        _check_revision(request)
        if request.page_size < 0:
            raise ProtocolViolation("page_size is negative")
        asked = answers.Discover(
            settings=settings.struct_to_dict(request.settings),
            picker=request.picker,
            parent_id=request.parent_id,
            query=request.query,
            page_size=min(request.page_size or 100, _MAX_DISCOVER_PAGE),
            page_token=request.page_token,
        )

        async def work(connector: BaseConnector[Any]) -> pb.DiscoverResponse:
            await threads.called(connector.connect)
            found: answers.Resources = await threads.called(connector.discover, asked)
            resources = [
                pb.Resource(
                    id=each.id,
                    name=each.name,
                    kind=each.kind,
                    has_children=each.has_children,
                    selectable=each.selectable,
                )
                for each in found.resources
            ]
            return pb.DiscoverResponse(resources=resources, next_page_token=found.next_page_token)

        return await self._work(request, context, work, partial_settings=True)

    async def pull(self, request: pb.PullRequest, context: Context) -> None:
        """Streams changes and checkpoints."""
        mode = self._mode_of(request)
        outlet = Outlet(context.write, request.limits, Listing(mode, self._capabilities.full_listing))

        async def work(connector: BaseConnector[Any]) -> None:
            call = connector._call
            if request.limits.HasField("credential_lifetime"):
                call.credential_lifetime = request.limits.credential_lifetime.ToMilliseconds() / 1000
            call.sync = Pull(connector, request, outlet).run
            await threads.called(connector.connect)
            await threads.called(connector.sync)

        async with outlet.ticking():
            error: ConnectorError | None = None
            try:
                await self._work(request, context, work, mode=mode, to_run=outlet.log)
            except ConnectorError as told:
                error = told
            await outlet.finish(error)

    async def normalize(self, requests: AsyncIterator[pb.NormalizeRequest], context: Context) -> None:
        """Answers each raw item with its envelope or its error, in their order."""
        first = await anext(aiter(requests), None)
        if first is None:
            return
        if first.WhichOneof("kind") != "start":
            raise ProtocolViolation("the first message of Normalize carries `start`, and only that one")
        _check_revision(first.start)

        async def work(connector: BaseConnector[Any]) -> None:
            items = Items(connector, lambda: None)
            decode, normalize = connector.decode_raw, connector.normalize
            async for request in requests:
                if request.WhichOneof("kind") != "raw":
                    raise ProtocolViolation("every later message of Normalize carries `raw`")
                raw = request.raw
                try:
                    made = normalize(decode(raw.schema, raw.data))
                    answer = items.normalized(raw, await made if items.normalize_is_async else made)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's
                    answer = wire.field(b"\x12", items.error_message(error, raw.id).SerializeToString())
                await context.write(answer)

        await self._work(first.start, context, work)

    async def fetch_content(self, request: pb.FetchContentRequest, context: Context) -> None:
        """Streams the bytes of a document."""
        self._require(self._capabilities.fetch_content, "fetch_content")
        _check_revision(request)

        async def work(connector: BaseConnector[Any]) -> None:
            await threads.called(connector.connect)
            found = await threads.called(connector.fetch_content, request.id, request.content_ref, request.version)
            await content.send(found, request.max_bytes, context.write)

        await self._work(request, context, work)

    async def handle_event(self, request: pb.HandleEventRequest, context: Context) -> pb.HandleEventResponse:
        """Says what a webhook means."""
        self._require(self._capabilities.handle_event, "handle_event")
        _check_revision(request)
        event = answers.Event(
            method=request.method,
            path=request.path,
            headers=[(header.name, header.value) for header in request.headers],
            body=request.body,
            signing_secret=request.signing_secret,
            for_app=not request.HasField("settings"),
        )

        async def work(connector: BaseConnector[Any]) -> pb.HandleEventResponse:
            found: answers.EventAnswer = await threads.called(connector.handle_event, event)
            response = pb.HandleEventResponse(
                verified=found.verified,
                changed_ids=found.changed_ids,
                scopes=found.scopes,
                all_scopes=found.all_scopes,
                routing_keys=found.routing_keys,
            )
            if found.status:
                answer = pb.HttpAnswer(status=found.status, content_type=found.content_type, body=found.body)
                response.answer.CopyFrom(answer)
            return response

        return await self._work(request, context, work, partial_settings=event.for_app, signing_secret=request.signing_secret)

    async def execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        """Carries out an action."""
        self._require(self._capabilities.execute, "execute")
        _check_revision(request)
        action = answers.Action(request.action, settings.struct_to_dict(request.input), request.idempotency_key)

        async def work(connector: BaseConnector[Any]) -> pb.ExecuteResponse:
            await threads.called(connector.connect)
            output = await threads.called(connector.execute, action)
            response = pb.ExecuteResponse()
            response.output.ParseFromString(wire.struct_of(output))
            return response

        return await self._work(request, context, work)

    async def _work(
        self,
        request: Any,
        context: Context,
        work: Callable[[BaseConnector[Any]], Awaitable[_Answer]],
        *,
        mode: Mode = Mode.FULL,
        partial_settings: bool = False,
        signing_secret: str = "",
        to_run: Callable[[pb.LogRecord], None] | None = None,
    ) -> _Answer:
        """Runs the author's code on a connector made for this call. What it raises comes out as a ConnectorError."""
        given = settings.struct_to_dict(request.settings)
        credential = request.credential if hasattr(request, "credential") else None
        trace = next((str(value) for key, value in context.invocation_metadata() or () if key == "traceparent"), "")
        called = self._program.call(
            given,
            credential,
            mode=mode,
            trace=trace,
            partial_settings=partial_settings,
            signing_secret=signing_secret,
            to_run=to_run,
        )
        async with called as connector:
            try:
                return await work(connector)
            # A library that ends the program must not end it for the others that it serves.
            except (Exception, SystemExit) as error:  # noqa: BLE001
                raise await told(connector, error) from None

    def _mode_of(self, request: pb.PullRequest) -> Mode:
        """Whether manifest and contract allow this pull."""
        _check_revision(request)
        try:
            mode = Mode(request.mode)
        except ValueError:
            raise ProtocolViolation("the pull names no mode") from None
        self._require(mode is not Mode.INCREMENTAL or self._capabilities.incremental, "incremental pulls")
        self._require(mode is not Mode.LIST or self._capabilities.list, "LIST pulls")
        self._require(mode is not Mode.TARGETED or self._capabilities.targeted, "TARGETED pulls")
        count = len(request.ids)
        if (mode is Mode.TARGETED) != (count > 0) or count > _MAX_TARGETED_IDS:
            raise ProtocolViolation(f"a TARGETED pull names 1 to {_MAX_TARGETED_IDS} ids and no other names any: {count}")
        return mode

    def _require(self, served: bool, capability: str) -> None:
        if not served:
            raise Unimplemented(f"this connector does not serve {capability}: its manifest does not declare it")


async def told(connector: BaseConnector[Any], error: BaseException) -> ConnectorError:
    """What a call ends with, for an exception of the author's code; `refresh` is asked first where that may help."""
    call = connector._call
    found = call.told(error)
    if type(found) is ConnectorError and found is not error:
        call.log.exception("the call ends with INTERNAL", error)  # the stack is for the author: nobody else can mend it
    if found.reason_name == "CREDENTIAL_EXPIRED":
        try:
            await threads.called(connector.refresh)
        except Exception as refused:  # noqa: BLE001 - what it says is more to the point
            found = call.told(refused)
    return found


def _check_revision(request: Any) -> None:
    if request.contract_revision < CONTRACT_REVISION:
        raise ProtocolViolation(
            f"the request speaks contract revision {request.contract_revision}; this connector speaks {CONTRACT_REVISION}"
        )
