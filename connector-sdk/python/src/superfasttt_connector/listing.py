"""What a pull may say about scopes: which mode allows what, and whether a listing was complete."""

from __future__ import annotations

from dataclasses import dataclass, field

from .changes import Mode
from .errors import ProtocolViolation
from .limits import MAX_CURSOR_BYTES


@dataclass(slots=True)
class _Scope:
    skipped_unnamed: int = 0
    """Items that failed without a name: any document might be one of them."""
    stopped: bool = False
    """A scope error, or the scope's removal."""
    end: bytes | None = None
    """The cursor of the listing's end, once the author has declared it."""


@dataclass(slots=True)
class Listing:
    """What was said of each scope in one pull.

    A listing's end is held back until the author's code has ended well: only then is it sure that nothing was left out.
    """

    mode: Mode
    full_listing: bool
    _scopes: dict[str, _Scope] = field(default_factory=dict)

    def check_cursor(self, cursor: bytes) -> None:
        """Whether mode and contract allow this checkpoint; raises ProtocolViolation."""
        if self.mode is Mode.TARGETED:
            raise ProtocolViolation("a checkpoint was made in a TARGETED pull, which has none")
        if not 1 <= len(cursor) <= MAX_CURSOR_BYTES:
            raise ProtocolViolation(
                f"a cursor of {len(cursor)} bytes was given; it has 1 to {MAX_CURSOR_BYTES} bytes, more than that means "
                "more scopes"
            )

    def check_present(self) -> None:
        """Whether the mode allows `Present`; raises ProtocolViolation."""
        if not self.mode.is_listing:
            raise ProtocolViolation("`Present` was given outside FULL and LIST, where it says nothing")

    def declare_end(self, scope: str, cursor: bytes) -> None:
        """The author has named everything in `scope`. Raises ProtocolViolation where that may not be said."""
        self.check_cursor(cursor)
        if not self.mode.is_listing:
            raise ProtocolViolation("a listing was completed outside FULL and LIST")
        if not self.full_listing:
            raise ProtocolViolation("a listing was completed and the manifest does not declare full_listing")
        self._of(scope).end = cursor

    def skipped_unnamed(self, scope: str) -> None:
        """An item failed and could not be named."""
        self._of(scope).skipped_unnamed += 1

    def stopped(self, scope: str) -> None:
        """`scope` goes no further."""
        self._of(scope).stopped = True

    def ends(self) -> list[tuple[str, bytes | None, str]]:
        """Each scope whose end was declared: the cursor, and why it is not complete ("" where it is)."""
        found: list[tuple[str, bytes | None, str]] = []
        for scope, said in self._scopes.items():
            if said.end is None:
                continue
            if said.stopped:
                found.append((scope, None, "the scope ended with an error"))
            elif said.skipped_unnamed:
                # The listing goes no further all the same, and its cursor says so.
                found.append((scope, said.end, f"{said.skipped_unnamed} items could not be read and not be named"))
            else:
                found.append((scope, said.end, ""))
        return found

    def _of(self, scope: str) -> _Scope:
        return self._scopes.setdefault(scope, _Scope())
