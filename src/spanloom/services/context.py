"""Who calls, and for which project: what a service needs to know of a call beside its request."""

from __future__ import annotations

from dataclasses import dataclass

from spanloom.errors import Code, Reason, SpanloomError, invalid_field

INSTANCE = "*"
DEFAULT_PROJECT = "default"
MAX_PROJECT_LENGTH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call by an authenticated caller.

    `key_project` is the key's project, "*" for an instance key. `header_project` is the header `x-spanloom-project`, "" when
    absent; `header_project_id` is the last part of the header `project_id` (`entity/project`). `received_ns` is the time of
    receipt.
    """

    request_id: str
    key_project: str
    role: str
    received_ns: int
    header_project: str = ""
    header_project_id: str = ""

    def project(self, hint: str = "") -> str:
        """The project to work in, where the request's own word (`hint`) does not bind: bodies of events carry a project as data.

        A project key decides. An instance key takes the header, else the hint, else `default`.
        """
        if self.key_project != INSTANCE:
            self._header_must_be(self.key_project)
            return self.key_project
        return checked_project(self.header_project or hint or DEFAULT_PROJECT)

    def named_project(self, project_id: str) -> str:
        """The project to work in, where the request must name it (`project_id`): the key's own, else PERMISSION_DENIED.

        `project_id` is the project's name; of `entity/project` the whole or the last part.
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


def checked_project(name: str) -> str:
    """The name when it can be a project's: 1 to 128 characters, no control characters, not "*"."""
    if not 0 < len(name) <= MAX_PROJECT_LENGTH or not name.isprintable() or name == INSTANCE:
        raise invalid_field(
            "project", f"must be 1 to {MAX_PROJECT_LENGTH} printable characters, and not *"
        )
    return name


def _mismatch(project: str) -> SpanloomError:
    return SpanloomError(
        Code.PERMISSION_DENIED,
        Reason.PROJECT_MISMATCH,
        "the request names another project than the key's",
        metadata={"project": project[:MAX_PROJECT_LENGTH]},
    )
