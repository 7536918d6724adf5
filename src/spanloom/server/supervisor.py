"""Several processes that do one work: started, watched, started again when they die, and stopped together.

Workers are forked, so they share what was imported, opened and bound before. The supervisor itself must have one thread only.
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

log = logging.getLogger("spanloom.supervisor")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 0.1, 10.0
# A worker that lived this long died of something new: it is started again at once.
_LONG_LIFE_SECONDS = 30.0

# Does the work until SIGTERM; calls its argument once it is ready to serve.
Work = Callable[[Callable[[], None]], None]


@dataclass(slots=True)
class _Place:
    """Where a worker runs, one after the other: its process (0 between two), and when the next one starts."""

    pid: int = 0
    ready: int = -1  # the reading end of the pipe on which it says so; -1 when it has
    born: float = 0.0
    delay: float = _FIRST_DELAY_SECONDS
    next_at: float = field(default_factory=time.monotonic)


class Supervisor:
    """`run` serves until SIGINT or SIGTERM, with `workers` processes that each do `work`.

    A worker that dies is started again, later and later if it goes on dying. Told to stop, every worker has `grace` seconds
    to end. When the supervisor dies, whatever way, its workers end at once: nothing goes on serving behind its back.
    """

    def __init__(self, workers: int, work: Work, *, grace: float) -> None:
        self._work = work
        self._grace = grace
        self._places = [_Place() for _ in range(workers)]

    def run(self, started: Callable[[], None]) -> bool:
        """`started` is called when all workers are ready. False if one died before: then nothing was started."""
        # Reading gives the end of file when the supervisor is gone.
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
        """Until a signal comes, a worker says that it is ready, or the time is over."""
        waiting = {place.ready: place for place in self._places if place.ready >= 0}
        found, _, _ = select.select([woken.fileno(), *waiting], [], [], seconds)
        for source in found:
            if source == woken.fileno():
                woken.recv(4096)
            elif os.read(source, 1):
                os.close(source)
                waiting[source].ready = -1

    def _start(self, place: _Place) -> None:
        ready, say_ready = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        place.born = time.monotonic()
        # Held back until the worker has handlers of its own: one that took ours would miss the signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        place.pid = os.fork()
        if place.pid == 0:
            os.close(ready)
            self._live(say_ready)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(say_ready)
        place.ready = ready

    def _live(self, say_ready: int) -> None:
        """What a worker's process does; it never returns."""
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
            self._work(lambda: _say(say_ready))
            code = 0
        except BaseException:
            log.exception("a worker failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> bool:
        """Note the workers that have died, and when to start the next; whether there were any."""
        dead = False
        for place in self._places:
            if not place.pid:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if not pid:
                continue
            dead = True
            now = time.monotonic()
            if now - place.born > _LONG_LIFE_SECONDS:
                place.delay = _FIRST_DELAY_SECONDS
            code = os.waitstatus_to_exitcode(status)
            log.error("worker %d ended with %d; the next starts in %g s", pid, code, place.delay)
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
        """Let all workers end within the grace, then kill."""
        deadline = time.monotonic() + self._grace
        self._tell(signal.SIGTERM)
        while any(place.pid for place in self._places):
            left = deadline - time.monotonic()
            if left <= 0:
                self._tell(signal.SIGKILL)
                left = 1.0
            for place in self._places:
                if place.pid and os.waitpid(place.pid, os.WNOHANG)[0]:
                    self._vacate(place)
            if any(place.pid for place in self._places):
                self._wait(woken, left)

    def _tell(self, number: int) -> None:
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)


def _say(ready: int) -> None:
    os.write(ready, b"1")
    os.close(ready)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)
