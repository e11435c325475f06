"""The store-logoff machine as a careful person writes it: a slotted class, counters, if and elif, a few helpers.

The benchmark measures against it, and `tests/test_bench.py` holds it equal to the table, so that the race is fair.
"""

from __future__ import annotations

from fsm.logoff import Logoff


class NotAllowed(Exception):
    pass


class HandWrittenSession:
    __slots__ = ("deferred", "inbound", "outbound", "peers", "ready", "request", "state")

    def __init__(self, ready: int = 0, deferred: int = 0, peers: int = 0) -> None:
        self.state = "open"
        self.request: Logoff | None = None
        self.inbound = 0
        self.outbound = 0
        self.ready = ready
        self.deferred = deferred
        self.peers = peers

    # helpers

    def _in_flight(self) -> int:
        return self.inbound + self.outbound

    def _takes_work(self) -> bool:
        return self.state == "open" or self.state == "blocked"

    def _not_released(self) -> None:
        if self.state == "released":
            raise NotAllowed("the store is released")

    def _one_less(self, count: int) -> None:
        if self.state == "released" or not count:
            raise NotAllowed("there is no such message")

    def _ended(self) -> None:
        """A message has ended: a drain, a waiting ABORT or a refused QUIET may be over."""
        if self.state == "draining":
            if not self._in_flight():
                finishing = self.request is Logoff.ORDERLY or self.request is Logoff.ABORT
                if finishing or not self.ready:
                    self.state = "released"
        elif self.state == "blocked":
            if self.request is Logoff.ABORT:
                if not self._in_flight():
                    self.state = "released"
            elif not self._in_flight() and not self.ready and not self.deferred:
                self.state = "open"
                self.request = None

    def _left_to_peers(self, flag: Logoff | None) -> bool:
        """With peers the call is ignored by the spooler: the work is theirs."""
        self._not_released()
        if not self.peers:
            return False
        self.inbound = self.outbound = self.ready = self.deferred = 0
        self.request = flag
        self.state = "released"
        return True

    # the logoff

    def logoff_quiet(self) -> bool:
        if not self._left_to_peers(Logoff.QUIET):
            if self.state == "draining":
                return True
            busy = self._in_flight() or self.ready or self.deferred
            self.request = Logoff.QUIET
            self.state = "blocked" if busy else "released"
        return True

    def logoff_abort(self) -> bool:
        if not self._left_to_peers(Logoff.ABORT):
            self.request = Logoff.ABORT
            if not self._in_flight():
                self.state = "released"
            elif self.state != "draining":
                self.state = "blocked"
        return True

    def logoff_orderly(self) -> bool:
        if not self._left_to_peers(Logoff.ORDERLY):
            self.request = Logoff.ORDERLY
            self.state = "draining" if self._in_flight() else "released"
        return True

    def logoff_no_wait(self) -> bool:
        if not self._left_to_peers(Logoff.NO_WAIT):
            self.request = Logoff.NO_WAIT
            self.state = "draining" if self._in_flight() or self.ready else "released"
        return True

    def logoff_purge(self) -> bool:
        if not self._left_to_peers(Logoff.PURGE):
            self.ready += self.deferred
            self.deferred = 0
            self.request = Logoff.PURGE
            self.state = "draining" if self._in_flight() or self.ready else "released"
        return True

    def release(self) -> bool:
        if self.state == "released":
            return True
        flag = self.request if self.state == "draining" else Logoff.ABORT
        if not self._left_to_peers(flag) and self.state != "draining":
            self.request = Logoff.ABORT
            self.state = "blocked" if self._in_flight() else "released"
        return True

    # outbound

    def submit(self) -> bool:
        if not self._takes_work():
            raise NotAllowed("the store is closing")
        self.ready += 1
        return True

    def abort_submit(self) -> bool:
        self._one_less(self.ready)
        self.ready -= 1
        self._ended()
        return True

    def abort_deferred(self) -> bool:
        self._one_less(self.deferred)
        self.deferred -= 1
        self._ended()
        return True

    def deferred_due(self) -> bool:
        if not self._takes_work() or not self.deferred:
            raise NotAllowed("nothing is deferred, or the store is closing")
        self.deferred -= 1
        self.ready += 1
        return True

    def outbound_begin(self) -> bool:
        sending = self._takes_work() or (
            self.state == "draining" and (self.request is Logoff.NO_WAIT or self.request is Logoff.PURGE)
        )
        if not sending or not self.ready:
            raise NotAllowed("nothing is ready, or nothing may be started")
        self.ready -= 1
        self.outbound += 1
        return True

    def outbound_sent(self) -> bool:
        self._one_less(self.outbound)
        self.outbound -= 1
        self._ended()
        return True

    def outbound_failed(self) -> bool:
        self._one_less(self.outbound)
        self.outbound -= 1
        self._ended()
        return True

    def outbound_deferred(self) -> bool:
        self._one_less(self.outbound)
        self.outbound -= 1
        self.deferred += 1
        self._ended()
        return True

    # inbound, and peers

    def inbound_begin(self) -> bool:
        if not self._takes_work():
            raise NotAllowed("the store is closing")
        self.inbound += 1
        return True

    def inbound_received(self) -> bool:
        self._one_less(self.inbound)
        self.inbound -= 1
        self._ended()
        return True

    def inbound_failed(self) -> bool:
        self._one_less(self.inbound)
        self.inbound -= 1
        self._ended()
        return True

    def peer_opened(self) -> bool:
        self._not_released()
        self.peers += 1
        return True

    def peer_closed(self) -> bool:
        self._one_less(self.peers)
        self.peers -= 1
        return True
