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


def rotate(project: Project, key_id: str, *, key: str | None = None, **fields: Any) -> Any:
    return call(project, "RotateKey", key=key, keyId=key_id, **fields)


def find(project: Project, key_id: str) -> Any:
    [found] = [k for k in call(project, "ListKeys", pageSize=1000).keys if k.key_id == key_id]
    return found


def test_rotate_key_replaces_a_key(project: Project) -> None:
    old = create(project, name="the app", expireTime="2100-01-01T00:00:00Z")
    made = rotate(project, old.key.key_id)
    assert made.key.key_id != old.key.key_id
    assert (made.key.name, made.key.roles) == ("the app", old.key.roles)
    assert made.key.project_id == project.name
    lifetime = made.key.expire_time.ToNanoseconds() - made.key.create_time.ToNanoseconds()
    assert lifetime == old.key.expire_time.ToNanoseconds() - old.key.create_time.ToNanoseconds()
    ended = find(project, old.key.key_id)
    assert ended.replaced_by == made.key.key_id
    assert ended.expire_time == made.old_key_expire_time
    overlap = ended.expire_time.ToNanoseconds() - made.key.create_time.ToNanoseconds()
    assert overlap == 3600 * 10**9
    for text in (old.text, made.text):  # both open meanwhile
        assert caller(project, text).project_id == project.name
    with pytest.raises(CallError, match="KEY_NOT_ROTATABLE"):
        rotate(project, old.key.key_id)
    again = rotate(project, made.key.key_id, overlap="0s")
    assert caller(project, again.text).key_id == again.key.key_id
    with pytest.raises(CallError, match="KEY_NOT_ROTATABLE"):
        rotate(project, made.key.key_id)
    # Nobody has used it since it was rotated, so no process knows it.
    unused = create(project)
    rotate(project, unused.key.key_id, overlap="0s")
    with pytest.raises(CallError, match="INVALID_CREDENTIALS"):
        caller(project, unused.text)


def test_rotate_key_answers_a_repeat_as_the_first_call(project: Project) -> None:
    old = create(project).key.key_id
    first = rotate(project, old, requestId="once")
    assert [rotate(project, old, requestId="once") for _ in range(2)] == [first, first]
    assert caller(project, first.text).key_id == first.key.key_id
    for fields, key in (
        ({"overlap": "60s"}, None),  # a different request
        ({}, project.server.key(project.name)),  # the text is for those who have the same key
    ):
        with pytest.raises(CallError, match="REQUEST_ID_REUSED"):
            rotate(project, old, requestId="once", key=key, **fields)
    # A caller may rotate its own key.
    mine = project.server.key(project.name)
    made = rotate(project, mine.split("_")[1], requestId="mine", key=mine)
    assert rotate(project, mine.split("_")[1], requestId="mine", key=mine) == made


def test_rotate_key_names_what_is_wrong(project: Project) -> None:
    key_id = create(project).key.key_id
    for fields, field in (
        ({"overlap": "-1s"}, "overlap"),
        ({"overlap": "7776001s"}, "overlap"),
        ({"requestId": "x" * 129}, "requestId"),
    ):
        with pytest.raises(CallError) as refused:
            rotate(project, key_id, **fields)
        assert list(refused.value.violations) == [field]
    other = project.server.key("another").split("_")[1]
    for unknown in (other, "00", project.server.key().split("_")[1]):
        with pytest.raises(CallError, match="KEY_NOT_FOUND"):
            rotate(project, unknown)
