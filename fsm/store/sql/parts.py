"""The parts of the queues: opening stores, looking who else is there, adopting what is nobody's, and leaving.

Theory.
1. Whoever opens or looks holds the locks of the stores' rows, in order of their numbers.  The dead are removed first.
2. The parts that nobody holds are adopted together.  If all of them are clean, their counts are right but for the notes
   of those who took messages out of them; otherwise they are counted, messages and notes in one statement, so that each
   message that is taken meanwhile is in both or in neither.
3. Few messages of an adopted part move to the first part of its store, and parts without messages and notes are
   deleted.  Otherwise each peer that goes would leave a part, and a claim looks into all of them.
4. An uncertain message becomes ready or held by the policy of the store.  It joins a part of whoever finds it, and so
   does a message that was deferred by a process that had left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from fsm.store.life import target
from fsm.store.sql.driver import Driver
from fsm.store.sql.messages import COLUMNS, to_message
from fsm.store.sql.processes import Processes
from fsm.store.sql.schema import PARTS, STORES
from fsm.store.storage import LAPSED, Ask, Handle, Look

__all__ = ["FEW", "Parts", "changed_since"]

FEW: Final = 1000
"""Messages that are moved to another part; more of them stay where they are."""

FIND: Final = "SELECT store, number FROM fsm_stores WHERE profile = ? AND store ?*"
LOCK: Final = "SELECT number FROM fsm_stores WHERE number ?* ORDER BY number FOR NO KEY UPDATE"
ALL: Final = "SELECT store, number, process, ready, deferred, clean FROM fsm_parts WHERE store ?* ORDER BY number"
HOLD: Final = "UPDATE fsm_parts SET process = ?, clean = 0 WHERE number ?*"
MOVE: Final = (
    "UPDATE fsm_messages SET part = ? WHERE id IN"
    " (SELECT id FROM fsm_messages WHERE part ?* AND state = '{state}'{unless_taken})"
)
FIRST: Final = (
    "SELECT id FROM fsm_messages WHERE part BETWEEN p.number AND p.number AND state = '{state}' ORDER BY part LIMIT 1"
)
"""In words that leave PostgreSQL nothing but the index: for `NOT EXISTS` and `part =` it would read all messages."""
DROP: Final = (
    "DELETE FROM fsm_parts AS p WHERE number ?*"
    f" AND ({FIRST.format(state='ready')}) IS NULL AND ({FIRST.format(state='deferred')}) IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM fsm_messages WHERE part = p.number AND state = 'claimed' AND process = ?)"
    " AND NOT EXISTS (SELECT 1 FROM fsm_taken WHERE part = p.number) RETURNING store, number"
)
NOTES: Final = "DELETE FROM fsm_taken WHERE part ?* RETURNING part, ready, deferred"
COUNT: Final = (
    "SELECT 0 AS note, part, count(*) AS ready, 0 AS deferred FROM fsm_messages WHERE part ?* AND state = 'ready'"
    " GROUP BY part UNION ALL SELECT 0, part, 0, count(*) FROM fsm_messages WHERE part ?* AND state = 'deferred'"
    " GROUP BY part UNION ALL SELECT number, part, ready, deferred FROM fsm_taken WHERE part ?*"
)
FORGET: Final = "DELETE FROM fsm_taken WHERE number ?*"
UNOWNED: Final = (
    f"SELECT store, {COLUMNS} FROM fsm_messages WHERE store ?* AND part IS NULL"
    " AND state IN ('ready', 'deferred', 'uncertain')"
)
JOIN: Final = (
    "UPDATE fsm_messages SET part = ?, state = ?, due = NULL, wait = NULL, reason = ?, uncertain = uncertain + ?"
    " WHERE id = ? AND state = 'uncertain' AND part IS NULL RETURNING id"
)
KEEP: Final = "UPDATE fsm_messages SET part = ? WHERE id = ? AND state = ? AND part IS NULL RETURNING id"
ASIDE: Final = (
    "SELECT store, count(*) FROM fsm_messages WHERE store ?* AND state IN ('held', 'failed') GROUP BY store"
)
LEAVE: Final = (
    "UPDATE fsm_parts SET process = NULL, ready = ?, deferred = ?, clean = ? WHERE number = ? AND process = ?"
)
LAPSE: Final = (
    f"UPDATE fsm_messages SET state = '{target('lapse')}', part = NULL, process = NULL"
    " WHERE store = ? AND process = ? AND state = 'claimed'"
)


class Parts:
    """The parts of the queues of a profile, as a process changes them in a transaction.

    `swept` is true if a dead process was removed in it.
    """

    def __init__(self, driver: Driver, processes: Processes, profile: str) -> None:
        self._driver, self._processes, self._profile = driver, processes, profile
        self._left: list[tuple[object, ...]] = []
        self.swept = False

    @property
    def _me(self) -> int:
        return self._processes.me

    def open(self, handles: Sequence[Handle]) -> list[Look]:
        """See `storage.Transaction`."""
        numbers, created = self._numbers([handle.name for handle in handles])
        for handle in handles:
            handle.number = numbers[handle.name]
        known = [handle for handle in handles if handle.name not in created]
        looks = self._look([Ask(handle) for handle in known], opening=True)
        for store, aside in self._driver.fetch(ASIDE, [handle.number for handle in known]) if known else ():
            looks[store].aside = aside
        self._create([handle for handle in handles if handle.name in created])  # nobody else knows of these yet
        return [looks.get(handle.number, Look()) for handle in handles]

    def _numbers(self, names: Sequence[str]) -> tuple[dict[str, int], set[str]]:
        """Return the numbers of these stores, and the names of those that were created for that."""
        driver, wanted = self._driver, sorted(set(names))
        numbers: dict[str, int] = dict(driver.fetch(FIND, self._profile, wanted))
        created: dict[str, int] = {}
        if missing := [name for name in wanted if name not in numbers]:
            rows, returning = [(name, self._profile) for name in missing], "RETURNING store, number"
            created = dict(driver.insert(STORES, "store, profile", rows, f"ON CONFLICT DO NOTHING {returning}"))
            if len(created) < len(missing):  # another process has just created some
                numbers = dict(driver.fetch(FIND, self._profile, wanted))
        return numbers | created, set(created)

    def look(self, asks: Sequence[Ask]) -> list[Look]:
        """See `storage.Transaction`."""
        looks: dict[int, Look] = {ask.handle.number: Look(None) for ask in asks}
        if found := [ask for ask in asks if ask.peers]:
            looks |= self._look(found)
        parts = {part: looks[ask.handle.number] for ask in asks for part in ask.handle.parts}
        for part, ready, deferred in self._driver.fetch(NOTES, list(parts)) if parts else ():
            parts[part].taken_ready += ready
            parts[part].taken_deferred += deferred
        return [looks[ask.handle.number] for ask in asks]

    def revive(self, handles: Sequence[Handle]) -> list[Look]:
        """See `storage.Transaction`.  What this process counted before is nobody's or a peer's now."""
        for handle in handles:
            handle.parts = ()
        looks = self._look([Ask(handle) for handle in handles if not handle.left], opening=True)
        return [looks.get(handle.number, Look(None)) for handle in handles]

    def _look(self, asks: Sequence[Ask], *, opening: bool = False) -> dict[int, Look]:
        driver, stores = self._driver, [ask.handle.number for ask in asks]
        if driver.postgresql and stores:
            driver.fetch(LOCK, stores)
        self.swept = self._processes.sweep() or self.swept
        looks = {store: Look() for store in stores}
        if not stores:
            return looks
        peers: dict[int, set[int]] = defaultdict(set)
        free: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
        for store, number, process, ready, deferred, clean in driver.fetch(ALL, stores):
            if process is None or (opening and process == self._me):  # of an opening that came to nothing
                free[store].append((number, ready, deferred, clean if process is None else 0))
            elif process != self._me:
                peers[store].add(process)
        for store, others in peers.items():
            looks[store].peers = len(others)
        adopters = [ask.handle for ask in asks if ask.adopt and not (ask.alone and peers.get(ask.handle.number))]
        adopting = {handle.number: handle for handle in adopters}
        if adopting:
            self._adopt(adopting, {store: parts for store, parts in free.items() if store in adopting}, looks)
            if opening:
                self._create([handle for handle in adopting.values() if not handle.parts])
            self._join(adopting, looks)
        return looks

    def _adopt(
        self, handles: dict[int, Handle], free: dict[int, list[tuple[int, int, int, int]]], looks: dict[int, Look]
    ) -> None:
        """Hold the parts that nobody holds, and count what is in them."""
        store_of = {part[0]: store for store, parts in free.items() for part in parts}
        if not store_of:
            return
        driver, counts = self._driver, [parts for parts in free.values() if not all(part[3] for part in parts)]
        unclean = [part[0] for parts in counts for part in parts]
        clean = sorted(store_of.keys() - set(unclean))
        driver.run(HOLD, self._me, sorted(store_of))
        ready, deferred = Counter[int](), Counter[int]()
        for store, parts in free.items():
            handle = handles[store]
            handle.parts = (*handle.parts, *(part[0] for part in parts))
            if parts[0][0] in clean:
                ready.update({part[0]: part[1] for part in parts})
                deferred.update({part[0]: part[2] for part in parts})
        for part, some_ready, some_deferred in driver.fetch(NOTES, clean) if clean else ():
            ready[part] -= some_ready
            deferred[part] -= some_deferred
        if unclean:
            counted = driver.fetch(COUNT, unclean, unclean, unclean)
            for note, part, some_ready, some_deferred in counted:
                if not note:
                    ready[part] += some_ready
                    deferred[part] += some_deferred
            if notes := [row[0] for row in counted if row[0]]:
                driver.run(FORGET, notes)
        for part, store in store_of.items():
            looks[store].ready += ready[part]
            looks[store].deferred += deferred[part]
        self._join_parts([handles[store] for store in free if len(handles[store].parts) > 1], ready + deferred)

    def _join_parts(self, handles: Sequence[Handle], counts: Counter[int]) -> None:
        """Move what few messages there are in the parts that were adopted, and delete the parts that are empty."""
        driver, unless_taken = self._driver, " FOR UPDATE SKIP LOCKED" if self._driver.postgresql else ""
        for handle in handles:
            if few := [part for part in handle.parts[1:] if 0 < counts[part] <= FEW]:
                for state in ("ready", "deferred"):
                    driver.run(MOVE.format(state=state, unless_taken=unless_taken), handle.parts[0], few)
        if not handles:
            return
        by_number = {handle.number: handle for handle in handles}
        for store, number in driver.fetch(DROP, [part for handle in handles for part in handle.parts[1:]], self._me):
            handle = by_number[store]
            handle.parts = tuple(part for part in handle.parts if part != number)

    def _create(self, handles: Sequence[Handle]) -> None:
        """Create a part for each of these."""
        if handles:
            by_number = {handle.number: handle for handle in handles}
            columns = "store, process, ready, deferred, clean"
            rows = [(store, self._me, 0, 0, 0) for store in by_number]
            for store, part in self._driver.insert(PARTS, columns, rows, "RETURNING store, number"):
                by_number[store].parts = (part,)

    def _join(self, handles: dict[int, Handle], looks: dict[int, Look]) -> None:
        """Take in what belongs to no part, unless a peer has just withdrawn it or put it aside."""
        for store, *row in self._driver.fetch(UNOWNED, list(handles)):
            handle, look, message = handles[store], looks[store], to_message(row, b"")
            part = handle.parts[0]
            if message.state == "uncertain":
                state = target(handle.policy, message.state)
                if not self._driver.fetch(JOIN, part if state == "ready" else None, state, LAPSED, 1, message.id):
                    continue
                look.lapsed.append(to_message([row[0], state, None, row[3], row[4] + 1, LAPSED, *row[6:]], b""))
                look.ready += state == "ready"
            elif self._driver.fetch(KEEP, part, message.id, message.state):
                look.ready += message.state == "ready"
                look.deferred += message.state == "deferred"

    def taken(self, handle: Handle) -> int:
        """Read the notes of those who took messages out of our parts; return how many they took."""
        return sum(ready + deferred for _, ready, deferred in self._driver.fetch(NOTES, list(handle.parts)))

    def leave(self, handle: Handle, ready: int | None, deferred: int | None) -> None:
        """See `storage.Transaction`."""
        clean = int(ready is not None and deferred is not None)
        for number, part in enumerate(handle.parts):  # they are adopted together, so the sums may be in the first
            first = number == 0
            self._left.append(((ready or 0) * first, (deferred or 0) * first, clean, part, self._me))

    def lapse(self, handle: Handle) -> None:
        """See `storage.Transaction`."""
        self._driver.run(LAPSE, handle.number, self._me)

    def flush(self) -> None:
        """Write who has left."""
        if self._left:
            self._driver.each(LEAVE, self._left)
            self._left = []


def changed_since(
    driver: Driver, processes: Processes, handles: Iterable[Handle], peers: Iterable[int]
) -> frozenset[int]:
    """See `storage.Storage.survey`."""
    me, dead = processes.me, set(processes.dead())
    known = dict(zip([handle.number for handle in handles], peers, strict=True))
    stores, mine = list(known), {part for handle in handles for part in handle.parts}
    found: set[int] = set()
    now: dict[int, set[int]] = defaultdict(set)
    for store, _, process, *_ in driver.fetch(ALL, stores):
        if process is None or process in dead:
            found.add(store)
        elif process != me:
            now[store].add(process)
    found |= {store for store, count in known.items() if len(now.get(store, ())) != count}
    found |= {row[0] for row in driver.fetch(UNOWNED, stores)}
    store_of = {part: handle.number for handle in handles for part in handle.parts}
    found |= {store_of[part] for (part,) in driver.fetch("SELECT DISTINCT part FROM fsm_taken") if part in mine}
    return frozenset(found)
