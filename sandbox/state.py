"""What this onOffice knows: links, what cannot be deleted, what an account cannot see, and what was done to it."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from sandbox.records import Records

PREFIX = "urn:onoffice-de-ns:smart:2.5:relationTypes:"
Link = tuple[str, int, int]  # short relation type, parentid, childid

DELETABLE_TYPES = (
    "estate:address:interested",
    "estate:address:buyer",
    "estate:address:renter",
    "estate:address:owner",
    "estate:address:contactPerson",
    "estate:address:contactPersonAll",
    "estate:estateUnit",
    "calendar:address",
    "calendar:estate",
    "agentsLog:file:attachment",
    "address:user:sync",
)
OTHER_TYPES = (
    "agentsLog:address",
    "agentsLog:estate",
    "address:contact:address",
    "complex:estate:units",
    "estate:address:tenant",
    "estate:address:matching",
    "estate:user:officer",
    "address:user:officer",
    "task:address",
    "task:estate",
    "project:address",
    "project:estate",
    "user:address",
)
READ_ONLY_TYPES = ("user:messengerUser:is",)
ALL_TYPES = frozenset(DELETABLE_TYPES + OTHER_TYPES + READ_ONLY_TYPES)

SEED: tuple[Link, ...] = (
    ("calendar:address", 671, 153),
    ("calendar:estate", 671, 42),
    ("estate:address:buyer", 10, 20),
    ("estate:address:renter", 11, 21),
    ("estate:address:interested", 12, 22),
    ("estate:address:contactPerson", 13, 23),
    ("estate:address:contactPersonAll", 13, 24),
    ("estate:estateUnit", 14, 15),
    ("agentsLog:file:attachment", 16, 26),
    ("address:user:sync", 17, 27),
    ("estate:address:owner", 42, 7),
)
SEED_UNDELETABLE: Link = ("estate:address:owner", 42, 7)


@dataclass(slots=True)
class LoggedAction:
    """One action as it came, and what happened to it."""

    action: str
    relationtype: str
    parentid: object
    childid: object
    identifier: str
    errorcode: int
    effect: str = ""  # deleted, created, or nothing


@dataclass(slots=True)
class LoggedRequest:
    """One request as it came."""

    number: int
    at: float  # seconds on the sandbox's monotonic clock
    account: str | None  # the name, never the token
    actions: list[LoggedAction] = field(default_factory=list)
    http_status: int = 200
    fault: str | None = None


class State:
    """All of it; changed by one thread only."""

    def __init__(self, log_size: int) -> None:
        self.links: set[Link] = set()
        self.undeletable: set[Link] = set()
        self.undeletable_types: set[str] = set()
        self.hidden_types: set[str] = set()  # look empty to reads, answer 80 to deletes
        self.hidden_parents: set[int] = set()
        self.unknown_records: set[int] = set()  # records that were deleted: nothing can be linked to them
        self.confirmations: dict[Link, str] = {}  # of calendar:address; not-set for those that are not here
        self.records = Records()
        self.log: deque[LoggedRequest] = deque(maxlen=log_size)
        self.times: dict[str, list[float]] = defaultdict(list)  # arrivals per account
        self.counts: Counter[str] = Counter()
        self.deleted: Counter[Link] = Counter()  # how often a link that was there was removed
        self.created: Counter[Link] = Counter()  # how often a link was made by an API call
        self.created_existing: Counter[Link] = Counter()  # how often one was to be made that was there
        self.in_flight = 0
        self.most_in_flight = 0
        self._by_parent: dict[tuple[str, int], set[int]] = defaultdict(set)
        self._by_child: dict[tuple[str, int], set[int]] = defaultdict(set)
        self._lingering: deque[tuple[float, Link]] = deque()  # deleted, yet shown by reads until then (monotonic)

    def add(self, links: Iterable[Link]) -> None:
        """Make links."""
        for link in links:
            kind, parentid, childid = link
            self.links.add(link)
            self._by_parent[kind, parentid].add(childid)
            self._by_child[kind, childid].add(parentid)

    def remove(self, link: Link) -> None:
        """Unmake one link."""
        self.links.discard(link)
        self.confirmations.pop(link, None)
        self._hide(link)

    def _hide(self, link: Link) -> None:
        kind, parentid, childid = link
        self._by_parent[kind, parentid].discard(childid)
        self._by_child[kind, childid].discard(parentid)

    def delete(self, link: Link, read_lag: float = 0.0) -> None:
        """Unmake a link for an API call. `read_lag`: seconds that reads go on showing it."""
        self.deleted[link] += 1
        if read_lag <= 0:
            self.remove(link)
            return
        self.links.discard(link)
        self.confirmations.pop(link, None)
        self._lingering.append((time.monotonic() + read_lag, link))

    def _let_lag_end(self) -> None:
        while self._lingering and self._lingering[0][0] <= time.monotonic():
            _, link = self._lingering.popleft()
            if link not in self.links:  # it may have been made anew
                self._hide(link)

    def create(self, link: Link, confirmation: str | None) -> None:
        """Make a link for an API call."""
        (self.created_existing if link in self.links else self.created)[link] += 1
        self.add([link])
        if confirmation is not None:
            self.confirm(link, confirmation)

    def confirm(self, link: Link, confirmation: str) -> None:
        """Set a participant's confirmation status."""
        if confirmation == "not-set":
            self.confirmations.pop(link, None)
        else:
            self.confirmations[link] = confirmation

    def children(self, kind: str, parentid: int) -> list[int]:
        """What an account may see below a parent."""
        if self.hides(kind, parentid):
            return []
        self._let_lag_end()
        return sorted(self._by_parent.get((kind, parentid), ()))

    def parents(self, kind: str, childid: int) -> list[int]:
        """What an account may see above a child."""
        self._let_lag_end()
        return sorted(p for p in self._by_child.get((kind, childid), ()) if not self.hides(kind, p))

    def hides(self, kind: str, parentid: int) -> bool:
        """Whether rights make links look absent (facts 7.4)."""
        return kind in self.hidden_types or parentid in self.hidden_parents

    def arrived(self, account: str | None) -> LoggedRequest:
        """Note a request."""
        self.counts["requests"] += 1
        now = time.monotonic()
        if account is not None:
            self.times[account].append(now)
        request = LoggedRequest(self.counts["requests"], now, account)
        self.log.append(request)
        return request

    def worst_window(self, account: str, seconds: float = 1.0) -> int:
        """The most requests of an account that arrived within any window of that length."""
        worst, start = 0, 0
        times = self.times.get(account, [])
        for end, at in enumerate(times):
            while at - times[start] >= seconds:
                start += 1
            worst = max(worst, end - start + 1)
        return worst


def seeded(log_size: int) -> State:
    """A state with a handful of links of every deletable type."""
    state = State(log_size)
    state.add(SEED)
    state.undeletable.add(SEED_UNDELETABLE)
    return state
