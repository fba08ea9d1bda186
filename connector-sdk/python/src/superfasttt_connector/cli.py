"""The connector's own command line: the same program that connectord starts, as a tool for its author."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from superfasttt.connector.v1 import connector_pb2 as pb

from . import info, local, log
from .call import Program
from .serve import serve

_MODES = {"full": pb.PULL_MODE_FULL, "incremental": pb.PULL_MODE_INCREMENTAL}
_MODES |= {"list": pb.PULL_MODE_LIST, "targeted": pb.PULL_MODE_TARGETED}
_DONE, _FAILED, _USAGE = 0, 1, 2
_DOCUMENTS = ("document", "raw", "present")


def main(program: Program, arguments: list[str]) -> int:
    """Does what the arguments say, and gives the exit code: 0 done, 1 failed, 2 usage."""
    options = _parser(program).parse_args(arguments)
    if options.command in (None, "serve"):
        return serve(program)
    log.to_stderr()
    out = _Output(as_json=options.json)
    if options.command == "info":
        return _info(program, out)
    for name in ("record", "replay"):
        if getattr(options, name):
            os.environ[f"CONNECTOR_HTTP_{name.upper()}"] = getattr(options, name)
    try:
        asked = local.Asked(
            settings=_settings(options, program),
            credential=_credential(options, program),
        )
    except _UsageError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    command = _pull if options.command == "pull" else _test
    try:
        return asyncio.run(command(program, asked, options, out))
    except KeyboardInterrupt:
        return _FAILED


class _Enough(BaseException):  # --limit is reached: no error, and nothing that an author could catch
    """Ends a pull early."""


class _UsageError(Exception):
    """What was given cannot be used."""


def _parser(program: Program) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python3 {Path(sys.argv[0]).name}",
        description=f"The connector {program.manifest.id}. connectord starts it without arguments.",
    )
    commands = parser.add_subparsers(dest="command", metavar="serve | info | test | pull")
    commands.add_parser("serve", help="what connectord calls; the default")
    shown = commands.add_parser("info", help="the manifest, what is served, what is wrong with it")
    tested = commands.add_parser("test", help="try the connection: each check, with what to do")
    pulled = commands.add_parser("pull", help="pull in this process: documents, item errors, counts and cursors")
    for command in (shown, tested, pulled):
        command.add_argument("--json", action="store_true", help="a line of JSON for each")
    for command in (tested, pulled):
        command.add_argument("--settings", metavar="FILE", help="the connection's settings, a JSON file")
        command.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="one setting")
        given = command.add_mutually_exclusive_group()
        given.add_argument("--credential", metavar="FILE", help="a token or key; or JSON with the fields of several")
        given.add_argument("--credential-env", metavar="NAME", help="the same from a variable of the environment")
        went = command.add_mutually_exclusive_group()
        went.add_argument("--record", metavar="FILE", help="write the HTTP traffic to it, without secrets (HAR 1.2)")
        went.add_argument("--replay", metavar="FILE", help="answer from it, without network")
    pulled.add_argument("--mode", choices=sorted(_MODES), help="default: incremental where --cursor has one, else full")
    pulled.add_argument("--id", action="append", default=[], help="an id for --mode targeted; may be repeated")
    pulled.add_argument("--cursor", metavar="FILE", help="where the scopes stand: read, and written at each checkpoint")
    pulled.add_argument("--limit", metavar="N", type=int, default=0, help="end after so many documents")
    return parser


class _Output:
    """Lines on stdout: for people, or one of JSON for each thing."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, kind: str, found: dict[str, Any], text: str) -> None:
        line = json.dumps({kind: found}, ensure_ascii=False) if self.as_json else text
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _info(program: Program, out: _Output) -> int:
    found = info.describe(program)
    out.say("connector", found, info.as_text(found))
    return _FAILED if found["problems"] else _DONE


async def _test(program: Program, asked: local.Asked, options: argparse.Namespace, out: _Output) -> int:  # noqa: ARG001
    answer = await local.test_connection(program, asked)
    if answer.error:
        return _failed(out, answer.error)
    for check in answer.response.checks:
        outcome = pb.Check.Outcome.Name(check.outcome).removeprefix("OUTCOME_").lower()
        told = {"name": check.name, "outcome": outcome, "message": check.message, "fix": check.fix}
        out.say("check", told, f"{outcome:8} {check.name}: {check.message}" + (f"; {check.fix}" if check.fix else ""))
    if answer.response.HasField("account"):
        account = answer.response.account
        told = {"id": account.id, "display_name": account.display_name, "email": account.email}
        out.say("account", told, f"account  {account.display_name or account.id} ({account.id})")
    return _FAILED if any(check.outcome == pb.Check.OUTCOME_FAILED for check in answer.response.checks) else _DONE


async def _pull(program: Program, asked: local.Asked, options: argparse.Namespace, out: _Output) -> int:
    try:
        states = local.read_states(Path(options.cursor)) if options.cursor else {}
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{options.cursor} cannot be read: {error}\n")
        return _USAGE
    mode = options.mode or ("incremental" if states and program.manifest.capabilities.incremental else "full")
    if (mode == "targeted") != bool(options.id):
        sys.stderr.write("--id goes with --mode targeted, and that needs one\n")
        return _USAGE
    counts: dict[str, int] = {}

    def take(response: pb.PullResponse) -> None:
        kind = str(response.WhichOneof("kind"))
        if kind != "page":
            note = getattr(response, kind)
            out.say(kind, _plain(note), _line(kind, note))
            return
        for change in response.page.changes:
            named = str(change.WhichOneof("kind"))
            counts[named] = counts.get(named, 0) + 1
            message = getattr(change, named)
            out.say(named, _plain(message), _line(named, message))
            if options.limit and sum(counts.get(each, 0) for each in _DOCUMENTS) >= options.limit:
                raise _Enough
        if response.page.HasField("checkpoint"):
            states[response.page.scope] = response.page.checkpoint.cursor
            if options.cursor:
                local.write_states(Path(options.cursor), states)

    request = pb.PullRequest(mode=_MODES[mode], ids=options.id)
    if options.limit:
        request.limits.max_page_changes = options.limit
    # A listing begins anew: what is resumed in a FULL is a listing, and the file may hold where the changes stand.
    if mode != "full":
        request.states.extend(pb.ScopeState(scope=scope, cursor=cursor) for scope, cursor in states.items())
    failure = None
    with contextlib.suppress(_Enough):
        failure = await local.pull(program, asked, request, take)
    cursors = {scope: cursor.decode(errors="replace") for scope, cursor in states.items()}
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing"
    ends = "".join(f"\ncursor of {scope!r}: {cursor}" for scope, cursor in cursors.items())
    out.say("end", {"counts": counts, "cursors": cursors}, f"pulled {told}{ends}")
    return _failed(out, failure) if failure else _DONE


def _failed(out: _Output, error: local.Failure) -> int:
    told = f"failed: {error.reason}: {error.message}"
    out.say("error", {"reason": error.reason, "message": error.message, "code": error.code}, told)
    return _FAILED


def _plain(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def _line(kind: str, message: Any) -> str:
    match kind:
        case "document":
            return f"document    {message.id}  {message.title}"
        case "item_error" | "scope_error":
            name = message.scope if kind == "scope_error" else message.id or message.locator or "(not named)"
            return f"{kind:11} {name}  {message.error.message}"
        case "log":
            return f"log         {message.message}"
        case "progress":
            return f"progress    {message.items_seen} {message.message}"
    return f"{kind:11} {json.dumps(_plain(message), ensure_ascii=False)}"


def _settings(options: argparse.Namespace, program: Program) -> dict[str, Any]:
    properties = program.manifest.settings_schema.get("properties") or {}
    settings = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    if options.settings:
        settings |= _json_object(Path(options.settings))
    for given in options.set:
        name, equals, value = given.partition("=")
        if not equals:
            raise _UsageError(f"--set takes NAME=VALUE, not {given!r}")
        # What is no text in the manifest is written as JSON: --set limit=5.
        kind = (properties.get(name) or {}).get("type")
        try:
            settings[name] = value if kind == "string" or kind is None else json.loads(value)
        except ValueError:
            raise _UsageError(f"--set {name}: the manifest says {kind}, and {value!r} is none") from None
    return settings


def _credential(options: argparse.Namespace, program: Program) -> pb.Credential | None:
    if options.credential:
        try:
            text = Path(options.credential).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _UsageError(f"{options.credential} cannot be read: {error}") from None
    elif options.credential_env:
        found = os.environ.get(options.credential_env)
        if found is None:
            raise _UsageError(f"there is no variable {options.credential_env} in the environment")
        text = found
    else:
        return None
    return local.credential(program.manifest, text.rstrip("\r\n"))


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise _UsageError(f"{path} holds no JSON object")
    return found
