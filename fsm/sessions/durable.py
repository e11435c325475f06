"""The base class of sessions whose listeners send messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fsm.session import Session

if TYPE_CHECKING:
    from fsm.sessions.place import Place

__all__ = ["DurableSession"]


class DurableSession(Session):
    """A session of `Sessions` whose listeners can submit messages, in the transaction of their step.

        class Order(DurableSession, chart=ORDER):
            def after_pay(self, step):
                self.submit_message(b"...", "shop@example.org", ["me@example.net"])
    """

    __slots__ = ("_place",)
    _place: Place[Any] | None

    def _bind(self, place: Place[Any]) -> None:
        self._place = place

    @property
    def key(self) -> str:
        """The key of this session.  RuntimeError for one that no `Sessions` has loaded."""
        return self._its_place().key

    def submit_message(
        self, content: bytes, sender: str = "", recipients: Sequence[str] = (), *,
        headers: Mapping[str, str] | None = None,
    ) -> str | None:  # fmt: skip
        """Submit a message with the step's transaction; see `Transaction.submit_message`.

        RuntimeError for a session that no `Sessions` has loaded.
        """
        return self._its_place().submit(content, sender, recipients, headers)

    def _its_place(self) -> Place[Any]:
        place: Place[Any] | None = getattr(self, "_place", None)
        if place is None:
            raise RuntimeError(f"this {type(self).__name__} is in no database: it was not loaded by Sessions")
        return place
