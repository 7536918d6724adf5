"""Projects and keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from spanloom.errors import SpanloomError
from spanloom.model import Key, SignInLink
from spanloom.store.store import Store
from tests.store.conftest import Run


def a_key(project: str, number: int = 1) -> Key:
    return Key(
        id=f"{project}-{number}", project=project, role="ingest", digest="d", created_ns=number
    )


def test_a_project_may_be_created_again(store: Store, run: Run[Any], project: str) -> None:
    run(store.ensure_project(project))
    run(store.ensure_project(project))


def test_a_key_is_found_by_its_id(store: Store, run: Run[Any], project: str) -> None:
    key = a_key(project)
    run(store.create_key(key))
    assert run(store.find_key(key.id)) == key
    assert run(store.find_key(key.id.upper())) is None


def test_a_key_keeps_its_name_and_its_end(store: Store, run: Run[Any], project: str) -> None:
    key = replace(a_key(project, 9), name="the app's", expires_ns=2**62)
    run(store.create_key(key))
    assert run(store.find_key(key.id)) == key


def test_keys_are_listed_oldest_first(store: Store, run: Run[Any], project: str) -> None:
    for number in (2, 1, 3):
        run(store.create_key(a_key(project, number)))
    listed = [key for key in run(store.list_keys()) if key.project == project]
    assert listed == [a_key(project, number) for number in (1, 2, 3)]


def test_an_id_is_taken_once(store: Store, run: Run[Any], project: str) -> None:
    run(store.create_key(a_key(project)))
    with pytest.raises(SpanloomError, match="id of another key") as refused:
        run(store.create_key(replace(a_key(project), role="admin")))
    assert [v.field for v in refused.value.violations] == ["id"]
    assert run(store.find_key(a_key(project).id)).role == "ingest"


def test_the_first_revocation_counts(store: Store, run: Run[Any], project: str) -> None:
    run(store.create_key(a_key(project)))
    assert run(store.revoke_key(a_key(project).id, 7)) is True
    assert run(store.revoke_key(a_key(project).id, 9)) is True
    assert run(store.find_key(a_key(project).id)) == replace(a_key(project), revoked_ns=7)
    assert run(store.revoke_key(f"{project}-unknown", 7)) is False


def test_a_key_is_replaced_once(store: Store, run: Run[Any], project: str) -> None:
    old = replace(a_key(project), expires_ns=2**61)
    run(store.create_key(old))

    async def all_at_once() -> list[object]:
        made = [replace(a_key(project, number), created_ns=50) for number in (2, 3, 4)]
        calls = (store.rotate_key(project, old.id, one, 100) for one in made)
        return await asyncio.gather(*calls, return_exceptions=True)

    failures = [one for one in run(all_at_once()) if one is not None]
    assert [getattr(one, "reason", one) for one in failures] == ["KEY_NOT_ROTATABLE"] * 2
    [made] = [key for key in run(store.list_keys()) if key.project == project and key != old][1:]
    assert run(store.find_key(old.id)) == replace(old, expires_ns=100, replaced_by=made.id)


def test_a_key_that_has_ended_is_not_replaced(store: Store, run: Run[Any], project: str) -> None:
    expired, revoked = replace(a_key(project), expires_ns=50), a_key(project, 2)
    for one in (expired, revoked):
        run(store.create_key(one))
    run(store.revoke_key(revoked.id, 5))
    successor = replace(a_key(project, 3), created_ns=50)
    for key_id in (expired.id, revoked.id, "none"):
        with pytest.raises(SpanloomError, match="has expired"):
            run(store.rotate_key(project, key_id, successor, 100))
    assert run(store.find_key(successor.id)) is None


def test_the_latest_use_of_a_key_counts(store: Store, run: Run[Any], project: str) -> None:
    keys = [a_key(project, number) for number in (1, 2)]
    for one in keys:
        run(store.create_key(one))

    async def from_two_processes() -> None:
        uses = ({keys[0].id: 2**62 + 1, keys[1].id: 7}, {keys[1].id: 9, keys[0].id: 2**62})
        await asyncio.gather(*(store.note_key_uses(one) for one in uses))

    run(from_two_processes())
    run(store.note_key_uses({keys[0].id: 5, "none": 5}))
    used = [run(store.find_key(key.id)).last_used_ns for key in keys]
    assert used == [2**62 + 1, 9]


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 257])
def test_a_project_needs_a_name_that_can_be_stored(store: Store, run: Run[Any], name: str) -> None:
    with pytest.raises(SpanloomError) as refused:
        run(store.ensure_project(name))
    assert [v.field for v in refused.value.violations] == ["project"]


def test_a_sign_in_link_gives_its_key_once(store: Store, run: Run[Any], project: str) -> None:
    key = a_key(project)
    run(store.create_key(key))
    link = SignInLink(digest=f"{project} digest", key_id=key.id, expires_ns=2**62)
    run(store.add_sign_in_link(link))
    assert run(store.use_sign_in_link("another", 1)) is None
    assert run(store.use_sign_in_link(link.digest, 1)) == key
    assert run(store.use_sign_in_link(link.digest, 1)) is None


def test_of_two_who_use_a_link_at_once_one_gets_the_key(
    store: Store, run: Run[Any], project: str
) -> None:
    key = a_key(project)
    run(store.create_key(key))
    run(store.add_sign_in_link(SignInLink(digest=project, key_id=key.id, expires_ns=2**62)))

    async def both() -> list[Key | None]:
        return await asyncio.gather(*(store.use_sign_in_link(project, 1) for _ in range(8)))

    found = run(both())
    assert [one for one in found if one is not None] == [key]


def test_a_link_that_expired_or_whose_key_was_revoked_gives_nothing(
    store: Store, run: Run[Any], project: str
) -> None:
    key, revoked = a_key(project), a_key(project, 2)
    expired = replace(a_key(project, 3), expires_ns=10)
    for one in (key, revoked, expired):
        run(store.create_key(one))
    run(store.revoke_key(revoked.id, 5))
    for name, key_id, expires_ns in (
        ("expired", key.id, 10),
        ("revoked", revoked.id, 2**62),
        ("of an expired key", expired.id, 2**62),
        ("unknown", "none", 2**62),
    ):
        link = SignInLink(digest=project + name, key_id=key_id, expires_ns=expires_ns)
        run(store.add_sign_in_link(link))
        assert run(store.use_sign_in_link(link.digest, 10)) is None
