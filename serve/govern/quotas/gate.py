"""Lets requests in while their caller's and its group's quotas last: counted when they come in, settled when they end.

Everything is asked and taken in one go on one event loop, so that no two requests of this process get the same room. What other
servers let in is counted as far as it is known (sharing.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dovetail.serve.errors import ContextOverflow, UserError
from dovetail.serve.govern.principal import Principal, Quota
from dovetail.serve.govern.quotas.refusal import QuotaExceeded
from dovetail.serve.govern.quotas.window import DAY, MINUTE, Window, whole_seconds

STREAM_RETRY_SECONDS = 1
WINDOWS = ("requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day")
MOST_ACCOUNTS = 10_000
"""Beyond these, accounts with nothing on them are forgotten: a token's subject may be anything."""


@dataclass
class Account:
    """What one caller, or one group, has used."""

    requests_per_minute: Window = field(default_factory=lambda: Window(MINUTE))
    requests_per_day: Window = field(default_factory=lambda: Window(DAY))
    tokens_per_minute: Window = field(default_factory=lambda: Window(MINUTE))
    tokens_per_day: Window = field(default_factory=lambda: Window(DAY))
    streams: int = 0
    elsewhere: dict[str, int] = field(default_factory=dict)
    """Streams of other servers."""

    @property
    def windows(self) -> dict[str, Window]:
        """By their names in a quota."""
        return {name: getattr(self, name) for name in WINDOWS}

    @property
    def all_streams(self) -> int:
        """Answers that are being made, here and elsewhere."""
        return self.streams + sum(self.elsewhere.values())

    def is_empty(self, now: float) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return self.all_streams == 0 and not any(window.used(now) for window in self.windows.values())


@dataclass(frozen=True)
class Limit:
    """One limit that holds for a caller: its name in messages, its window and what may be taken in it."""

    name: str
    window: Window
    most: int


@dataclass(frozen=True)
class Level:
    """How one kind of limit stands: the one of a caller's with the least left. ``reset``: seconds until all is back."""

    limit: int
    remaining: int
    reset: float


@dataclass(frozen=True)
class Asked:
    """What usage is counted by."""

    principal: Principal
    endpoint: str
    model: str


Recorder = Callable[[Asked, int, int, bool], None]
"""Told of a request: its prompt's and its answers' tokens, and whether it was refused."""


def _forget(asked: Asked, prompt: int, completion: int, refused: bool) -> None:
    """Where nobody asks for a report."""


class Lease:
    """Tokens and a stream that were taken for one request. :meth:`settle` is called once it has ended, however it did."""

    def __init__(
        self,
        accounts: Sequence[Account],
        taken: Sequence[tuple[Window, int]],
        reserved: int,
        on_settled: Callable[[int, int], None],
    ) -> None:
        self.accounts = accounts
        self._taken = taken
        self._on_settled = on_settled
        self.reserved = reserved
        self.settled = False

    def settle(self, prompt: int, completion: int) -> None:
        """Give back the tokens that were not used. The second time does nothing."""
        if self.settled:
            return
        self.settled = True
        for account in self.accounts:
            account.streams -= 1
        for window, part in self._taken:
            window.give_back(part, max(0, self.reserved - prompt - completion))
        self._on_settled(prompt, completion)


class Gate:
    """Counts what callers use.

    Args:
        groups: the quota that all members of a group share.
        record: is told what each request came to, and of those that were refused.
        clock: seconds since 1970, which never go back.

    ``on_change`` is called when something was taken or given back.
    """

    def __init__(
        self,
        groups: Mapping[str, Quota] | None = None,
        record: Recorder | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._groups = groups or {}
        self._record = record if record is not None else _forget
        self._clock = clock if clock is not None else steady_clock()
        self.accounts: dict[str, Account] = {}
        self.on_change: Callable[[], None] = lambda: None

    def count_request(self, principal: Principal) -> None:
        """Count one request, whatever it asks. Raises QuotaExceeded."""
        now = self._clock()
        _require(self._limits(principal, "requests"), now, 1)
        for account, _ in self._of(principal):
            account.requests_per_minute.take(now, 1)
            account.requests_per_day.take(now, 1)
        self.on_change()

    def answer_room(self, principal: Principal, prompt_tokens: int, answers: int = 1) -> int | None:
        """How long each answer may be at most, that a request can ever be let in; None: the quota says nothing of it.

        Raises UserError where the prompt alone is too long.
        """
        most = [limit.most for limit in self._limits(principal, "tokens")]
        rooms = [(each - prompt_tokens) // answers for each in most]
        if rooms and min(rooms) < 1:
            raise UserError(
                f"The prompt has {prompt_tokens} tokens, and the quota of this credential is {min(most)} tokens "
                "for prompts and answers together.",
                code="quota_too_small",
            )
        contexts = [quota.context for _, quota in self._of(principal) if quota.context is not None]
        if contexts and prompt_tokens >= min(contexts):
            raise ContextOverflow(prompt_tokens, min(contexts), "messages")
        rooms += [each - prompt_tokens for each in contexts]
        return min(rooms) if rooms else None

    def admit(self, principal: Principal, endpoint: str, model: str, prompt_tokens: int, max_tokens: int) -> Lease:
        """Take a stream and all tokens that the request may come to. Raises QuotaExceeded."""
        asked = Asked(principal, endpoint, model)
        try:
            taken, accounts = self._taken(principal, prompt_tokens + max_tokens)
        except QuotaExceeded:
            self._record(asked, 0, 0, True)
            raise

        def settled(prompt: int, completion: int) -> None:
            self._record(asked, prompt, completion, False)
            self.on_change()

        self.on_change()
        return Lease(accounts, taken, prompt_tokens + max_tokens, settled)

    def _taken(self, principal: Principal, amount: int) -> tuple[list[tuple[Window, int]], list[Account]]:
        now = self._clock()
        standing = self._of(principal)
        for account, quota in standing:
            if quota.streams is not None and account.all_streams >= quota.streams:
                raise QuotaExceeded(
                    f"{account.all_streams} requests of this credential are being answered, and its quota is "
                    f"{quota.streams} at a time. Please try again in {STREAM_RETRY_SECONDS}s.",
                    STREAM_RETRY_SECONDS,
                )
        _require(self._limits(principal, "tokens"), now, amount)
        taken = []
        for account, _ in standing:
            account.streams += 1
            for window in (account.tokens_per_minute, account.tokens_per_day):
                taken.append((window, window.take(now, amount)))
        return taken, [account for account, _ in standing]

    def levels(self, principal: Principal) -> dict[str, Level]:
        """How requests and tokens stand, where a limit holds."""
        now = self._clock()
        levels = {}
        for kind in ("requests", "tokens"):
            limits = list(self._limits(principal, kind))
            if limits:
                least = min(limits, key=lambda limit: limit.most - limit.window.used(now))
                remaining = max(0, least.most - least.window.used(now))
                levels[kind] = Level(least.most, remaining, least.window.empty_in(now))
        return levels

    def _limits(self, principal: Principal, kind: str) -> Iterable[Limit]:
        for account, quota in self._of(principal):
            for name in (f"{kind}_per_minute", f"{kind}_per_day"):
                most = getattr(quota, name)
                if most is not None:
                    yield Limit(name.replace("_", " "), getattr(account, name), most)

    def _of(self, principal: Principal) -> list[tuple[Account, Quota]]:
        """The accounts that a request of this caller is on, with their quotas."""
        found = [(self.account(principal.id), principal.quota)]
        if principal.group is not None:
            found.append((self.account(group_account(principal.group)), self._groups.get(principal.group, Quota())))
        return found

    def account(self, account_id: str) -> Account:
        """The account of a caller, or of a group."""
        account = self.accounts.get(account_id)
        if account is None:
            if len(self.accounts) >= MOST_ACCOUNTS:
                self._forget_empty()
            account = self.accounts[account_id] = Account()
        return account

    def _forget_empty(self) -> None:
        now = self._clock()
        self.accounts = {name: account for name, account in self.accounts.items() if not account.is_empty(now)}


def steady_clock() -> Callable[[], float]:
    """Seconds since 1970 as they were at the start, and from there on by a clock that never goes back."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()


def group_account(group: str) -> str:
    """The name of the account that a group's members share."""
    return f"group:{group}"


def _require(limits: Iterable[Limit], now: float, amount: int) -> None:
    """Raise unless ``amount`` fits under all limits."""
    waits = [(limit.window.wait(now, limit.most, amount), limit) for limit in limits]
    if not waits:
        return
    wait, limit = max(waits, key=lambda each: each[0])
    if wait <= 0:
        return
    if wait == float("inf"):
        raise UserError(
            f"The request may come to {amount} tokens, and the quota of this credential is {limit.most} {limit.name}.",
            code="quota_too_small",
        )
    seconds = whole_seconds(wait)
    raise QuotaExceeded(
        f"Rate limit reached: {limit.name}: limit {limit.most}, used {limit.window.used(now)}, "
        f"requested {amount}. Please try again in {seconds}s.",
        seconds,
    )
