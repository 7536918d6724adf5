"""Several worker processes: started, watched, restarted when they die, and stopped together.

Workers are forked, so they share what was imported, opened and bound before. The supervisor itself
must have one thread only.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from spanloom import metrics
from spanloom.errors import SetupError

log = logging.getLogger("spanloom.supervisor")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 0.1, 10.0
# A worker that lived this long died of something new: its successor starts at once.
_LONG_LIFE_SECONDS = 30.0

# Does the work until SIGTERM, and calls its argument once it is ready to serve; False if it cannot
# go on.
Work = Callable[[Callable[[], None]], bool]


@dataclass(slots=True)
class _Place:
    """Where workers run, one after the other.

    Attributes:
        work: What they do.
        pid: The worker's process; 0 between two workers.
        ready: The reading end of the pipe on which it reports that it is ready; -1 when it has.
        next_at: When the next worker starts, by the monotonic clock.
    """

    work: Work
    pid: int = 0
    ready: int = -1
    born: float = 0.0
    delay: float = _FIRST_DELAY_SECONDS
    next_at: float = field(default_factory=time.monotonic)


class Supervisor:
    """`run` serves until SIGINT or SIGTERM, with `workers` processes that each do `work`, and one
    that does what is to be done `beside` it.

    A worker that dies is replaced, after longer and longer delays if its successors die, too. On a
    signal every worker has `grace` seconds to end. When the supervisor dies, in whatever way, its
    workers end at once.
    """

    def __init__(
        self, workers: int, work: Work, *, grace: float, beside: Work | None = None
    ) -> None:
        self._grace = grace
        works = [work] * workers + ([beside] if beside else [])
        self._places = [_Place(work) for work in works]

    def run(self, started: Callable[[], None]) -> bool:
        """Serve. `started` is called when all workers are ready; False if one died before that."""
        # A worker reads end-of-file here when the supervisor has died.
        self._lifeline, self._held = os.pipe()
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        self._caught: set[int] = set()
        before = {
            number: signal.signal(number, lambda number, _: self._caught.add(number))
            for number in _SIGNALS
        }
        old_wakeup = signal.set_wakeup_fd(wake.fileno())
        try:
            return self._watch(woken, started)
        finally:
            self._stop(woken)
            signal.set_wakeup_fd(old_wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in (wake, woken):
                end.close()
            for descriptor in (self._lifeline, self._held):
                os.close(descriptor)

    def _watch(self, woken: socket.socket, started: Callable[[], None]) -> bool:
        all_ready = False
        while not self._caught & {signal.SIGINT, signal.SIGTERM}:
            now = time.monotonic()
            for place in self._places:
                if not place.pid and place.next_at <= now:
                    self._start(place)
            if not all_ready and all(place.pid and place.ready < 0 for place in self._places):
                all_ready = True
                started()
            self._wait(
                woken, min((p.next_at - now for p in self._places if not p.pid), default=None)
            )
            dead = self._reap()
            if dead and not all_ready:
                return False
        return True

    def _wait(self, woken: socket.socket, seconds: float | None) -> None:
        """Wait for a signal, for a worker that reports that it is ready, or for `seconds`."""
        waiting = {place.ready: place for place in self._places if place.ready >= 0}
        found, _, _ = select.select([woken.fileno(), *waiting], [], [], seconds)
        for source in found:
            if source == woken.fileno():
                woken.recv(4096)
            elif os.read(source, 1):
                os.close(source)
                waiting[source].ready = -1

    def _start(self, place: _Place) -> None:
        ready, report_ready = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        place.born = time.monotonic()
        # Blocked until the worker has its own handlers: with ours it would lose the signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        place.pid = os.fork()
        if place.pid == 0:
            os.close(ready)
            self._live(place.work, report_ready)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(report_ready)
        place.ready = ready

    def _live(self, work: Work, report_ready: int) -> None:
        """Run the worker; this never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(self._held)
            for place in self._places:
                if place.ready >= 0:
                    os.close(place.ready)
            threading.Thread(target=_end_with, args=(self._lifeline,), daemon=True).start()
            code = 0 if work(lambda: _report(report_ready)) else 1
        except SetupError as error:
            log.error("a worker could not start: %s", error)
        except BaseException:
            log.exception("a worker failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> bool:
        """Note the workers that have died, and when to start the next; True if there were any."""
        dead = False
        for place in self._places:
            if not place.pid:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if not pid:
                continue
            dead = True
            metrics.WORKER_RESTARTS.inc()
            metrics.process_died(pid)
            now = time.monotonic()
            if now - place.born > _LONG_LIFE_SECONDS:
                place.delay = _FIRST_DELAY_SECONDS
            code = os.waitstatus_to_exitcode(status)
            log.error(
                "worker %d exited with status %d; a new one starts in %g s", pid, code, place.delay
            )
            self._vacate(place)
            place.next_at = now + place.delay
            place.delay = min(2 * place.delay, _LONGEST_DELAY_SECONDS)
        return dead

    def _vacate(self, place: _Place) -> None:
        place.pid = 0
        if place.ready >= 0:
            os.close(place.ready)
            place.ready = -1

    def _stop(self, woken: socket.socket) -> None:
        """Let all workers end within the grace, then kill them."""
        deadline = time.monotonic() + self._grace
        self._signal(signal.SIGTERM)
        while any(place.pid for place in self._places):
            left = deadline - time.monotonic()
            if left <= 0:
                self._signal(signal.SIGKILL)
                left = 1.0
            for place in self._places:
                if place.pid and os.waitpid(place.pid, os.WNOHANG)[0]:
                    self._vacate(place)
            if any(place.pid for place in self._places):
                self._wait(woken, left)

    def _signal(self, number: int) -> None:
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)


def _report(ready: int) -> None:
    os.write(ready, b"1")
    os.close(ready)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)
