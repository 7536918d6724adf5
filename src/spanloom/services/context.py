"""The context of a call: who calls, and for which project."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from spanloom.errors import (
    Code,
    Reason,
    SpanloomError,
    invalid_field,
    project_being_deleted,
)
from spanloom.model.checks import Violations
from spanloom.model.projects import DEFAULT_PROJECT, INSTANCE, MAX_PROJECT_LENGTH, checked_project

_NOT_OF_THE_KEY = "the request names a project that the key does not belong to"
_NOT_OF_THE_HEADER = "project_id and the header x-spanloom-project name different projects"


@dataclass(slots=True)
class Notes:
    """What a service says of its answer in addition to the message.

    Attributes:
        headers: Headers of the response, in gRPC trailing metadata.
        on_deadline: What the error says where the deadline expires, "" for nothing of its own.
    """

    headers: dict[str, str] = field(default_factory=dict)
    on_deadline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What a service knows of a call in addition to its request.

    Attributes:
        key_id: The id of the caller's key, "" without authentication.
        proof: Bytes that follow from the caller's key, which only its callers have; b"" without
            authentication.
        key_project: The project of the caller's key, "*" for an instance key.
        received_ns: When the call arrived, in nanoseconds since 1970.
        header_project: The header `x-spanloom-project`, "" if there is none.
        header_hint: The last part of the header `project_id` (`entity/project`), else the header
            `x-phoenix-project-name`, or "".
        header_host: The header `host`, "" over gRPC.
        notes: What goes with the response.
        is_draining: Whether the server ends its streams.
        is_deleting: Whether a project is being deleted.
        redacted_for: The projects by whose rules the request was redacted. No other may be stored
            in; None if the call stores no content.
        enter: Counts the call as one in a project, and refuses it beyond the project's limit.
    """

    request_id: str
    key_project: str
    role: str
    received_ns: int
    key_id: str = ""
    proof: bytes = field(default=b"", repr=False)
    header_project: str = ""
    header_hint: str = ""
    header_host: str = ""
    notes: Notes = field(default_factory=Notes)
    is_draining: Callable[[], bool] = lambda: False
    is_deleting: Callable[[str], bool] = lambda _: False
    redacted_for: frozenset[str] | None = None
    enter: Callable[[str], None] = lambda _: None

    @property
    def only_ingests(self) -> bool:
        """Whether the key may learn nothing of what is stored, and change only what the same API
        wrote."""
        return self.role == "ingest"

    def project(self, hint: str = "") -> str:
        """The project of a call. A project key decides.

        For an instance key it is the header's project, else `hint` (the request's own `project`,
        which is only data for project keys), else `default`.

        Raises:
            SpanloomError: PERMISSION_DENIED if the header names another project than the key's;
                FAILED_PRECONDITION if the project is being deleted; RESOURCE_EXHAUSTED if it has
                had as many calls as it may have.
        """
        if self.key_project != INSTANCE:
            self._header_must_be(self.key_project)
            return self._usable(self.key_project)
        return self._usable(checked_project(self.header_project or hint or DEFAULT_PROJECT))

    def project_of_parts(self, named: Iterable[tuple[str, str]]) -> str:
        """The project of a request whose parts may name one each; it is stored in one project.

        Args:
            named: The project that a part names ("" if none), and the path of that field.

        Raises:
            SpanloomError: INVALID_ARGUMENT if the parts decide, and name different projects.
        """
        if self.key_project != INSTANCE or self.header_project:
            return self.project()
        project = first = ""
        violations = Violations()
        for name, path in named:
            if not project:
                project, first = name, path
            elif name and name != project:
                violations.add(path, f"names a different project than {first}")
        violations.refuse()
        return self.project(project)

    def named_project(self, project_id: str) -> str:
        """The project to work in, for a request that must name it: as `project_to_delete`.

        Raises:
            SpanloomError: As `project`, if the project is being deleted or has had many calls.
        """
        return self._usable(self.project_to_delete(project_id))

    def project_to_delete(self, project_id: str) -> str:
        """The project that a request names, also if its deletion has begun.

        Args:
            project_id: The project's name; of `entity/project` the whole or the last part counts.

        Raises:
            SpanloomError: PERMISSION_DENIED if it is not the key's (or the header's) project;
                INVALID_ARGUMENT if it is missing or cannot be a project's name.
        """
        if not project_id:
            raise invalid_field("project_id", "is required")
        names = (project_id, project_id.rpartition("/")[2])
        if self.key_project != INSTANCE:
            self._header_must_be(self.key_project)
            if self.key_project in names:
                return self.key_project
            raise _mismatch(project_id, _NOT_OF_THE_KEY)
        if self.header_project:
            if self.header_project in names:
                return checked_project(self.header_project)
            raise _mismatch(project_id, _NOT_OF_THE_HEADER)
        return checked_project(names[1] or project_id)

    def _usable(self, project: str) -> str:
        if self.is_deleting(project):
            raise project_being_deleted(project)
        if self.redacted_for is not None and project not in self.redacted_for:
            raise RuntimeError("the request was redacted by the rules of another project")
        self.enter(project)
        return project

    def own_project(self, name: str) -> str:
        """The project of this name, for a call that manages the project itself.

        Raises:
            SpanloomError: PERMISSION_DENIED if it is not the key's (or the header's) project;
                INVALID_ARGUMENT if it cannot be a project's name.
        """
        checked_project(name)
        is_any = self.key_project == INSTANCE and not self.header_project
        if not is_any and name != self.project():
            raise _mismatch(name, _NOT_OF_THE_KEY)
        return name

    def _header_must_be(self, project: str) -> None:
        if self.header_project and self.header_project != project:
            raise _mismatch(self.header_project, _NOT_OF_THE_KEY)


def _mismatch(project: str, message: str) -> SpanloomError:
    return SpanloomError(
        Code.PERMISSION_DENIED,
        Reason.PROJECT_MISMATCH,
        message,
        metadata={"project": project[:MAX_PROJECT_LENGTH]},
    )
