"""A model of the storage port: dictionaries, several holders, no database.

`do(me, method, *args)` gives the answer that the storage's method must give, and changes the model as it must change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fsm.store.message import Message
from fsm.store.storage import Share

LAPSED = "the process that was sending it has stopped; whether it arrived is unknown"


class Model:
    def __init__(self, policy: str = "resend") -> None:
        self.policy = policy
        self.messages: dict[str, Message] = {}
        self.owner: dict[str, str | None] = {}
        self.here: list[str] = []
        self.left: set[str] = set()

    def copy(self) -> Model:
        other = Model(self.policy)
        other.messages, other.owner = dict(self.messages), dict(self.owner)
        other.here, other.left = list(self.here), set(self.left)
        return other

    def listed(self) -> list[Message]:
        return [replace(self.messages[id], content=b"") for id in sorted(self.messages)]

    def share(self, me: str) -> Share:
        return self._share([id for id in self.messages if self.owner[id] == me])

    def open(self, me: str) -> Share:
        self.here.append(me)
        share: Share = self.do(me, "adopt")
        return share

    def close(self, me: str) -> None:
        self.here.remove(me)
        self.left.discard(me)
        for id in [id for id in self.messages if self.owner[id] == me]:
            if self.messages[id].state == "claimed":
                state = "ready" if self.policy == "resend" else "held"
                unsure = self.messages[id].uncertain + 1
                self._be(id, None, state=state, uncertain=unsure, reason=LAPSED)
            self.owner[id] = None

    def do(self, me: str, method: str, *args: Any, **more: Any) -> Any:
        return getattr(self, f"_{method}")(me, *args, **more)

    def _submit(self, me: str, message: Message) -> None:
        self.messages[message.id], self.owner[message.id] = message, self._us(me)

    def _claim(self, me: str, ids: list[str]) -> list[Message]:
        return self._begin(me, [id for id in dict.fromkeys(ids) if self._is(id, "ready", me)])

    def _take(self, me: str, limit: int) -> list[Message]:
        return self._begin(me, [id for id in sorted(self.messages) if self._is(id, "ready") and self.owner[id] != me][:limit])

    def _begin(self, me: str, ids: list[str]) -> list[Message]:
        for id in ids:
            self._be(id, me, state="claimed", due=None, attempts=self.messages[id].attempts + 1)
        return [self.messages[id] for id in ids]

    def _sent(self, me: str, id: str) -> None:
        if self._is(id, "claimed", me):
            self._drop(id)

    def _deferred(self, me: str, id: str, due: float, reason: str, recipients: Any = None, uncertain: bool = False) -> None:
        if self._is(id, "claimed", me):
            self._be(id, self._us(me), state="deferred", due=due, reason=reason, **self._to(recipients))
            self._be(id, self.owner[id], uncertain=self.messages[id].uncertain + uncertain)

    def _failed(self, me: str, id: str, reason: str, reported: bool, recipients: Any = None) -> None:
        if self._is(id, "claimed", me):
            if reported:
                self._drop(id)
            else:
                self._be(id, None, state="failed", reason=reason, **self._to(recipients))

    def _held(self, me: str, id: str, reason: str) -> None:
        if self._is(id, "claimed", me):
            self._be(id, None, state="held", reason=reason, uncertain=self.messages[id].uncertain + 1)

    def _ready(self, me: str, ids: list[str]) -> list[str]:
        found = [id for id in dict.fromkeys(ids) if self._is(id, "deferred", me)]
        for id in found:
            self._be(id, me, state="ready", due=None)
        return found

    def _withdraw(self, me: str, id: str) -> str | None:
        if id not in self.messages:
            return None
        state = self.messages[id].state
        if state == "claimed":
            return state
        if self.owner[id] not in (None, me):
            return "theirs"
        self._drop(id)
        return state

    def _resume(self, me: str, id: str) -> bool:
        if not (self._is(id, "held") or self._is(id, "failed")):
            return False
        self._be(id, self._us(me), state="ready", due=None)
        return True

    def _share_(self, me: str) -> Share:
        return self.share(me)

    def _adopt(self, me: str) -> Share:
        found = [id for id in self.messages if self.owner[id] is None and self.messages[id].state in ("ready", "deferred")]
        for id in found:
            self.owner[id] = me
        return self._share(found)

    def _leave(self, me: str) -> None:
        self.left.add(me)
        for id, message in self.messages.items():
            if self.owner[id] == me and message.state != "claimed":
                self.owner[id] = None

    def _us(self, me: str) -> str | None:
        return None if me in self.left else me

    def _is(self, id: str, state: str, owner: str | None = None) -> bool:
        return id in self.messages and self.messages[id].state == state and owner in (None, self.owner[id])

    def _be(self, id: str, owner: str | None, **changes: Any) -> None:
        self.messages[id], self.owner[id] = replace(self.messages[id], **changes), owner

    def _drop(self, id: str) -> None:
        del self.messages[id], self.owner[id]

    def _to(self, recipients: Any) -> dict[str, Any]:
        return {} if recipients is None else {"recipients": tuple(recipients)}

    def _share(self, ids: list[str]) -> Share:
        ready = tuple(sorted(id for id in ids if self.messages[id].state == "ready"))
        deferred = ((id, self.messages[id].due) for id in sorted(ids) if self.messages[id].state == "deferred")
        return Share(ready, tuple((id, due) for id, due in deferred if due is not None))
