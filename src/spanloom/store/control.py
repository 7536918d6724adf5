"""The contract of the store of all that is not spans: it needs transactions, so it is always a
relational database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from spanloom.model import Feedback, FeedbackQuery, Key, Page, SignInLink, Span
from spanloom.model.patch import Patch
from spanloom.model.projects import ProjectEntry
from spanloom.store.catalog import Catalog, Datasets, Records
from spanloom.store.erasure import Erasure
from spanloom.store.evaluations import EvaluationQueue
from spanloom.store.files import Files
from spanloom.store.limits import LimitStore
from spanloom.store.once import EACH_TIME, Once


class ControlStore(Protocol):
    """Keys and projects, updates of events, feedback, and what projects have in addition to their
    traces.

    All that `SpanStore` promises, of consistency and of errors, holds here too. With one database
    for both stores, what follows from a write in the other store is in its transaction.

    A write with `once` is done once: its answer is committed with it, and a later call with the
    same request id writes nothing and raises AnsweredBeforeError with that answer, or
    INVALID_ARGUMENT where the digests differ. Of calls at once, in any process, one writes. What a
    call that failed had written is nothing, so its id is free.

    An engine that merges rows by key cannot hold this store: it needs unique keys, conditional
    updates and locks.
    """

    catalog: Catalog
    datasets: Datasets
    records: Records
    files: Files
    evaluations: EvaluationQueue
    erasure: Erasure
    limits: LimitStore

    async def earlier_answer(self, project: str, once: Once) -> bytes | None:
        """What a call with this request id was answered; INVALID_ARGUMENT where the digests
        differ."""
        ...

    # Updates of events

    async def patch_event(
        self,
        project: str,
        event_id: str,
        patch: Patch,
        *,
        trace_id: str = "",
        only_of: str = "",
    ) -> None:
        """Store an update (`spanloom.model.patch`) of an event, and apply it to the event's spans,
        now and whenever they are written again.

        The event need not exist: nothing is listed until it does. An update is of the event in one
        trace: in `trace_id`, else in the trace that has it, else in the first that gets it. With
        an event that `write_spans` moves to another trace its updates move. A stored update that
        cannot be applied to a span is skipped, and the log names the event.

        Args:
            only_of: the patch is applied only to spans that this adapter wrote, now and later.

        Raises:
            FAILED_PRECONDITION: without `trace_id`, several traces have the event.
            INVALID_ARGUMENT: the patch is not JSON that can be stored; the error names the field.
            PERMISSION_DENIED: all spans of the event are those of other adapters than `only_of`.
        """
        ...

    async def patch_span(
        self, project: str, trace_id: str, span_id: str, patch: Patch, *, only_of: str = ""
    ) -> None:
        """As `patch_event`, of the one span with these ids.

        Args:
            only_of: the patch is applied only to a span that this adapter wrote, now and later.

        Raises:
            PERMISSION_DENIED: the span is that of another adapter than `only_of`.
        """
        ...

    async def append_to_spans(
        self,
        project: str,
        adapter: str,
        pieces: Mapping[tuple[str, str], Mapping[str, tuple[int, bytes]]],
        missing: Sequence[Span] = (),
    ) -> None:
        """Append pieces to the messages that an adapter keeps of spans, now and whenever the spans
        are written again; the columns follow.

        Each piece is appended once, whatever number of times it comes, and in the order of the
        times. The spans need not exist. Of one span at most 16 MiB are appended.

        Args:
            pieces: by (trace id, span id), then by digest: a time in nanoseconds, and bytes.
            missing: what is stored in the place of spans that are not there.
        """
        ...

    async def event_patch(self, project: str, event_id: str) -> Patch:
        """The updates that wait for an event, or are of it in the trace with its id, as one; {}
        when there are none."""
        ...

    # Feedback

    async def write_feedback(self, project: str, *feedback: Feedback) -> None:
        """Store feedback, each in place of an earlier one with the same id, atomically.
        INVALID_ARGUMENT names the field."""
        ...

    async def feedback_on(self, project: str, targets: Sequence[tuple[str, str]]) -> list[Feedback]:
        """All feedback on (target, target_id) pairs, oldest first, ties by id; one query for any
        number of targets."""
        ...

    async def find_feedback(
        self, project: str, *, ref: str = "", type: str = "", limit: int, offset: int = 0
    ) -> Page[Feedback]:
        """Feedback with this ref and this type ("" for any), newest first, ties by id; `total` is
        the number of all."""
        ...

    async def replace_feedback(
        self, project: str, *feedback: Feedback, only_own: bool = False
    ) -> list[Feedback]:
        """Store feedback as `write_feedback`, all of it or none, and return what was stored.

        What replaces an earlier one keeps its time of creation.

        Raises:
            INVALID_ARGUMENT: names `id`, where it is that of an evaluator's result.
        """
        ...

    async def list_feedback(
        self,
        project: str,
        query: FeedbackQuery,
        *,
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> list[Feedback]:
        """Feedback by time of creation, the newest first, ties by id descending.

        Args:
            after: (created_ns, id) of the last one seen.
        """
        ...

    async def delete_feedback(self, project: str, feedback_id: str) -> bool:
        """Delete feedback; False when there was none with this id."""
        ...

    # Projects and keys

    async def list_projects(
        self, *, name: str = "", after: str = "", limit: int
    ) -> list[ProjectEntry]:
        """The projects behind a name, or the one of a name, by name; without those that are being
        deleted."""
        ...

    async def ensure_project(self, name: str) -> None:
        """Create the project unless it exists. A repeated call in one process costs no write.

        Raises:
            FAILED_PRECONDITION: the project is being deleted; other processes may not know that for
                a second.
        """
        ...

    async def delete_project(self, name: str) -> str | None:
        """Delete a project and its description, if this store has nothing else of it, and no key
        that is not revoked.

        Returns:
            What it still has, and nothing was deleted; "" if the project was deleted; None if there
            was none.
        """
        ...

    async def create_key(self, key: Key) -> None:
        """Store a new key.

        Raises:
            INVALID_ARGUMENT: another key has its id; the error names `id`.
        """
        ...

    async def find_key(self, key_id: str) -> Key | None:
        """The key with this id, revoked or not."""
        ...

    async def list_keys(self) -> list[Key]:
        """All keys, revoked ones too, oldest first."""
        ...

    async def add_sign_in_link(self, link: SignInLink) -> None:
        """Store a link, and delete those that have expired."""
        ...

    async def use_sign_in_link(self, digest: str, now_ns: int) -> Key | None:
        """Delete the link with this digest; its key, unless the link has expired or the key is
        revoked. Of several calls at once, one gets the key."""
        ...

    async def rotate_key(
        self, project: str, key_id: str, successor: Key, expires_ns: int, once: Once = EACH_TIME
    ) -> None:
        """Store a new key in the place of one that is valid and was not rotated. That one expires
        at this time.

        Args:
            project: that of `once`.

        Raises:
            FAILED_PRECONDITION: there is no such key.
        """
        ...

    async def note_key_uses(self, uses: Mapping[str, int]) -> None:
        """Store when keys were used, in nanoseconds since 1970, by id. Later uses count."""
        ...

    async def revoke_key(self, key_id: str, revoked_ns: int) -> bool:
        """Revoke a key; the first of several revocations counts. False when there is no such
        key."""
        ...
