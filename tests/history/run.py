"""Clients write and read at random while servers are killed; then the history of every object is
checked.

A run is a number of rounds on one database. In each round, clients work on a few objects at a time,
so that many operations on one object overlap; an object is retired after some operations. The round
ends with a kill of all servers, reads of all its objects, and the check. At the end of the run,
objects of earlier rounds are read once more.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.history.client import TIMEOUT, Answer, Call, Client, Outcome
from tests.history.model import Action, Operation, ReadItems
from tests.history.objects import (
    EVALUATOR_BODY,
    EventGroup,
    ExportedTrace,
    Markers,
    Object,
    SentTrace,
)
from tests.history.report import Report
from tests.history.servers import Server, Servers, new_key
from tests.history.steps import Step

CLIENTS = 8
ROUND_SECONDS = 30.0
SKEW = 3600.0
# What is worked on at a time, and how many operations each object gets.
_AT_A_TIME: tuple[type[Object], ...] = (EventGroup, EventGroup, SentTrace, ExportedTrace)
_OPERATIONS_AN_OBJECT = 70
# How many of the writes have a deadline that is too short for many of them, and how short
# (seconds).
_SHORT_DEADLINES = 0.04
_SHORT = (0.001, 0.02)
BETWEEN_KILLS = (1.5, 4.0)
_KILLS = ("worker", "worker", "worker", "server", "all")
_PAUSE = 0.02
# Many operations without an answer on one object make its history hard to decide.
_PAUSE_AFTER_UNKNOWN = 0.25
# Evaluators have a low priority: on a loaded machine a result comes late.
_LONGEST_JUDGING = 180.0
_READ_AGAIN_OF_A_ROUND = 10

CHANGED = "what was read in an earlier round has changed since"

# What was read of an object when nothing was written any more.
Last = list[tuple[Step, Action]]
# The pause before a kill (seconds), and what is killed.
Kill = tuple[float, str]


@dataclass(frozen=True)
class Load:
    """How the clients work. `rate`: calls a second of all of them, 0 for as many as they can;
    `observe` is given each call with its answer.
    """

    clients: int = CLIENTS
    rate: float = 0.0
    observe: Callable[[Step, Answer], None] = lambda step, answer: None


def run(
    database: str,
    directory: Path,
    *,
    seed: int,
    seconds: float,
    most_kills: float = float("inf"),
    between_kills: tuple[float, float] = BETWEEN_KILLS,
    round_seconds: float = ROUND_SECONDS,
    clients: int = CLIENTS,
    skew: float = SKEW,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Work on a new database for about so many seconds, or until so many kills, and check it all;
    `directory` takes the servers' logs.
    """
    kinds = kinds_of_kills(database)
    rng = random.Random(seed)
    report = Report(seed)
    servers = Servers(database, directory, rng, skew)
    key = new_key(database)
    read_last: list[tuple[Object, Last]] = []
    shown = 0
    names = itertools.count(1)
    try:
        servers.start()
        end = time.monotonic() + seconds
        create_evaluator(servers.all[0], key)
        for number in itertools.count(1):
            one = Round(servers, key, f"{seed}-{number}", names, report, Load(clients))
            kills = kills_at_random(random.Random(f"{seed}-{number}-kills"), kinds, between_kills)
            one.work(min(round_seconds, end - time.monotonic()), kills)
            servers.kill("all")
            servers.start()
            found = one.read_all()
            read_last += rng.sample(found, min(len(found), _READ_AGAIN_OF_A_ROUND))
            one.check()
            progress(
                f"round {number}: {report.operations} operations, {servers.kills.total()} kills, "
                f"{report.violations.total()} violations, {len(report.faults)} faults, "
                f"{report.undecided} undecided"
            )
            # A long run may be interrupted before its report.
            for example in report.examples[shown:]:
                progress(example)
            shown = len(report.examples)
            if time.monotonic() + round_seconds / 2 > end or servers.kills.total() >= most_kills:
                break
        read_again(servers, key, read_last, report)
    finally:
        servers.kill("all")
    report.kills = servers.kills
    return report


def kinds_of_kills(database: str) -> tuple[str, ...]:
    """What can be killed, the more often the more likely it is."""
    return (*_KILLS, "database") if database.startswith("postgresql") else _KILLS


def create_evaluator(server: Server, key: str) -> None:
    """The evaluator that the traces name."""
    client = Client(key, random.Random(0))
    call = Call("POST", "/v1/evaluators", EVALUATOR_BODY)
    assert client.call(server, call).outcome is Outcome.OK
    client.close()


class Round:
    """One round; `objects` are all that were worked on."""

    def __init__(
        self,
        servers: Servers,
        key: str,
        seed: str,
        names: Iterator[int],
        report: Report,
        load: Load = Load(),
    ) -> None:
        self._load = load
        self._servers = servers
        self._key = key
        self._seed = seed
        self._names = names
        self._report = report
        self._markers = Markers(f"w{seed}.")
        self._lock = threading.Lock()
        self.objects: list[Object] = []
        self._active = [self._new(kind) for kind in _AT_A_TIME]

    def _new(self, kind: type[Object]) -> Object:
        made = kind(f"{next(self._names):x}", self._markers)
        self.objects.append(made)
        return made

    def work(self, seconds: float, kills: Iterable[Kill]) -> None:
        """Let the clients work so long, and kill servers meanwhile."""
        end = time.monotonic() + seconds
        count = self._load.clients
        with ThreadPoolExecutor(count) as pool:
            clients = [pool.submit(self._client, number, end) for number in range(count)]
            for pause, kind in kills:
                if time.monotonic() + pause > end:
                    break
                time.sleep(pause)
                self._servers.kill(kind)
                self._servers.start()
            for client in clients:
                client.result()

    def _client(self, number: int, end: float) -> None:
        rng = random.Random(f"{self._seed}-client-{number}")
        client = Client(self._key, rng)
        pace = self._load.clients / self._load.rate if self._load.rate else 0.0
        while time.monotonic() < end:
            time.sleep(rng.uniform(0, 2 * pace))
            up = self._servers.up()
            if not up:
                time.sleep(_PAUSE)
                continue
            target = self._pick(rng)
            step = target.step(rng)
            is_short = not step.is_read and rng.random() < _SHORT_DEADLINES
            timeout = rng.uniform(*_SHORT) if is_short else TIMEOUT
            server = rng.choice(up)
            answer = client.call(server, step.call, timeout=timeout)
            self._load.observe(step, answer)
            if answer.outcome in (Outcome.NOT_SENT, Outcome.UNKNOWN):
                client.close()
                time.sleep(_PAUSE if answer.outcome is Outcome.NOT_SENT else _PAUSE_AFTER_UNKNOWN)
            self._record(target, step, answer, f"client {number}", server)
        client.close()

    def _pick(self, rng: random.Random) -> Object:
        """An object to work on; one that had its share of operations is retired."""
        with self._lock:
            place = rng.randrange(len(self._active))
            if len(self._active[place].operations) >= _OPERATIONS_AN_OBJECT:
                self._active[place] = self._new(_AT_A_TIME[place])
            return self._active[place]

    def _record(
        self, target: Object, step: Step, answer: Answer, by: str, server: Server
    ) -> Action | None:
        """Add what came of a step to the object's history; its action, where there is an answer."""
        action = _action(step, answer, self._report)
        is_open = answer.outcome in (Outcome.UNKNOWN, Outcome.FAILED)
        if action is None or (is_open and step.is_read):
            return None
        clock = f" (clock {server.clock:+.0f} s)" if server.clock else ""
        by = f"{by} to {server.name}{clock}: {step.call.verb} {step.call.path}"
        ended = None if is_open else answer.ended
        for part in step.parts or (action,):
            target.operations.append(Operation(answer.began, ended, part, by))
        return action

    def read_all(self) -> list[tuple[Object, Last]]:
        """Read every object whole; what each read gave."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(zip(self.objects, pool.map(self._read_whole, self.objects), strict=True))

    def check(self) -> None:
        """Report what the histories of the objects show, and forget these."""
        for target in self.objects:
            self._report.add(target.name, target.operations)
            target.operations.clear()

    def _read_whole(self, target: Object) -> Last:
        client = Client(self._key, random.Random(f"{self._seed}-{target.name}"))
        last: Last = []
        for step, server in zip(
            target.final_steps(), itertools.cycle(self._servers.all), strict=False
        ):
            action = self._record(target, step, client.call(server, step.call), "at last", server)
            if action is not None:
                last.append((step, action))
        is_there = any(isinstance(action, ReadItems) and action.seen for _, action in last)
        if isinstance(target, SentTrace) and is_there:
            self._await_result(target, client)
        client.close()
        return last

    def _await_result(self, target: SentTrace, client: Client) -> None:
        """Wait until the evaluator's result is there, or has had the time that it may take."""
        server = self._servers.all[0]
        end = time.monotonic() + _LONGEST_JUDGING
        step = target.result_step(settled=True)
        while time.monotonic() < end:
            answer = client.call(server, step.call)
            if answer.outcome is Outcome.OK and answer.body.get("result"):
                break
            time.sleep(_PAUSE)
        self._record(target, step, client.call(server, step.call), "at last", server)


def _action(step: Step, answer: Answer, report: Report) -> Action | None:
    """What a step was to the model; None where it changed nothing and showed nothing. Notes what
    should not be.
    """
    outcome = answer.outcome
    if outcome is Outcome.OVERLOADED:
        report.overloads.append(answer.text)
    if outcome in (Outcome.NOT_SENT, Outcome.OVERLOADED):
        return None
    action = None
    if outcome is Outcome.UNKNOWN and step.is_read:
        return None
    if outcome is not Outcome.FAULT:
        action = step.explain(outcome, {} if answer.body is None else answer.body)
    if action is None or outcome is Outcome.FAILED:
        found = answer.text or answer.body
        report.faults.append(f"{step.call.verb} {step.call.path}: {found}")
    return action


def kills_at_random(
    rng: random.Random, kinds: Sequence[str], between: tuple[float, float]
) -> Iterator[Kill]:
    """What to kill: a worker and all first, so that a short run has both."""
    for kind in ("worker", "all"):
        yield rng.uniform(*between), kind
    while True:
        yield rng.uniform(*between), rng.choice(kinds)


def read_again(
    servers: Servers, key: str, read_last: Sequence[tuple[Object, Last]], report: Report
) -> None:
    """Read objects of earlier rounds, to which nobody has written since."""

    def read(one: tuple[Object, Last]) -> None:
        target, last = one
        client = Client(key, random.Random(target.name))
        for step, before in last:
            answer = client.call(servers.all[0], step.call)
            if answer.outcome not in (Outcome.OK, Outcome.NOT_FOUND):
                continue
            now = step.explain(answer.outcome, {} if answer.body is None else answer.body)
            if now != before:
                report.violations[CHANGED] += 1
                report.examples.append(f"object {target.name}: {CHANGED}: {before}, then {now}")
        client.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(read, read_last))
