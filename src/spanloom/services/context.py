"""Who calls, and for which project: what a service needs to know of a call beside its request."""

from __future__ import annotations

from dataclasses import dataclass

from spanloom.errors import Code, Reason, SpanloomError, invalid_field
from spanloom.model.projects import DEFAULT_PROJECT, INSTANCE, MAX_PROJECT_LENGTH, checked_project


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What a service knows of a call beside its request.

    Attributes:
        key_project: The project of the caller's key, "*" for an instance key.
        received_ns: When the call arrived, in nanoseconds since 1970.
        header_project: The header `x-spanloom-project`, "" if there is none.
        header_project_id: The last part of the header `project_id` (`entity/project`), or "".
    """

    request_id: str
    key_project: str
    role: str
    received_ns: int
    header_project: str = ""
    header_project_id: str = ""

    def project(self, hint: str = "") -> str:
        """The project to work in, for a request whose own `hint` does not bind.

        Events carry a project as data, for example. A project key decides by itself. With an
        instance key it is the header, else the hint, else `default`.

        Raises:
            SpanloomError: PERMISSION_DENIED if the header names another project than the key's.
        """
        if self.key_project != INSTANCE:
            self._header_must_be(self.key_project)
            return self.key_project
        return checked_project(self.header_project or hint or DEFAULT_PROJECT)

    def named_project(self, project_id: str) -> str:
        """The project to work in, for a request that must name it.

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
            raise _mismatch(project_id)
        if self.header_project:
            if self.header_project in names:
                return checked_project(self.header_project)
            raise _mismatch(project_id)
        return checked_project(names[1] or project_id)

    def _header_must_be(self, project: str) -> None:
        if self.header_project and self.header_project != project:
            raise _mismatch(self.header_project)


def _mismatch(project: str) -> SpanloomError:
    return SpanloomError(
        Code.PERMISSION_DENIED,
        Reason.PROJECT_MISMATCH,
        "the request names another project than the key's",
        metadata={"project": project[:MAX_PROJECT_LENGTH]},
    )
