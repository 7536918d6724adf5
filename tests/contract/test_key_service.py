"""KeyService over every transport."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.conftest import Project, request_of


def call(project: Project, name: str, /, *, key: str | None = None, **fields: Any) -> Any:
    method = f"KeyService/{name}"
    return project(method, request_of(method, fields), key=key or project.key)


def create(
    project: Project, role: str = "ROLE_READ", *, key: str | None = None, **fields: Any
) -> Any:
    return call(project, "CreateKey", key=key, roles=[role], **fields)


def listed(project: Project, *, key: str | None = None, page_size: int = 1000) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    token = ""
    while True:
        page = call(project, "ListKeys", key=key, pageSize=page_size, pageToken=token)
        found += [one.key_id for one in page.keys]
        token = page.next_page_token
        if not token:
            return found


def caller(project: Project, key: str) -> Any:
    return project("QueryService/GetCaller", request_of("QueryService/GetCaller", {}), key=key)


def test_create_key_gives_a_key_that_opens(project: Project) -> None:
    made = create(project, name="the app", expireTime="2100-01-01T00:00:00Z")
    assert made.key.project_id == project.name
    assert (made.key.name, made.key.expire_time.seconds) == ("the app", 4102444800)
    assert made.text.split("_")[1] == made.key.key_id
    mine = caller(project, made.text)
    assert (mine.key_id, mine.project_id) == (made.key.key_id, project.name)
    with pytest.raises(CallError, match="ROLE_NOT_ALLOWED"):
        listed(project, key=made.text)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"roles": []}, "roles"),
        ({"roles": ["ROLE_READ", "ROLE_INGEST"]}, "roles"),
        ({"roles": ["ROLE_UNSPECIFIED"]}, "roles[0]"),
        ({"name": "x" * 257}, "name"),
        ({"expireTime": "2020-01-01T00:00:00Z"}, "expireTime"),
    ],
)
def test_create_key_names_what_is_wrong(
    project: Project, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(CallError) as refused:
        project.send("KeyService/CreateKey", **{"roles": ["ROLE_READ"], **fields})
    assert list(refused.value.violations) == [field]


def test_create_key_makes_instance_keys_for_instance_keys_only(project: Project) -> None:
    with pytest.raises(CallError, match="PROJECT_MISMATCH"):
        create(project, "ROLE_ADMIN", instanceKey=True)
    instance = project.server.key()
    made = create(project, "ROLE_ADMIN", instanceKey=True, key=instance)
    assert (made.key.instance_key, made.key.project_id) == (True, "")
    with pytest.raises(CallError) as refused:
        create(project, instanceKey=True, key=instance)
    assert list(refused.value.violations) == ["roles"]


def test_list_keys_gives_those_of_the_project_by_pages(project: Project) -> None:
    before = set(listed(project))
    made = [create(project).key.key_id for _ in range(3)]
    assert set(listed(project)) == {*before, *made}
    assert listed(project, page_size=1) == listed(project)
    assert set(made) <= set(listed(project, key=project.server.key()))
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        project.send("KeyService/ListKeys", pageToken="x")


def test_revoke_key_shuts_a_key_of_the_project(project: Project) -> None:
    made = create(project)
    first = project.send("KeyService/RevokeKey", keyId=made.key.key_id).key
    assert first.HasField("revoke_time")
    assert project.send("KeyService/RevokeKey", keyId=made.key.key_id).key == first
    with pytest.raises(CallError, match="INVALID_CREDENTIALS"):
        caller(project, made.text)
    other = project.server.key("another").split("_")[1]
    for key_id in (other, "00"):
        with pytest.raises(CallError, match="KEY_NOT_FOUND"):
            project.send("KeyService/RevokeKey", keyId=key_id)
