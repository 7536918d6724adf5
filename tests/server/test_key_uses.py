"""When a key was used last, how a sign-in ends, and what the log says of admins."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from spanloom.errors import store_unavailable
from spanloom.model import api_keys
from spanloom.server import key_uses, sign_in
from spanloom.server.key_uses import KeyUses
from tests.clients import until
from tests.servers import LiveServer


def test_the_last_use_is_written_behind_the_calls_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = f"sqlite:///{tmp_path}/x.db"
    with LiveServer(database=database, log_level="error") as server:
        base = f"http://{server.running.http_address}"
        admin, other = server.key("mine"), server.key("mine", "read")

        def used(text: str) -> bool:
            keys = httpx.get(f"{base}/v1/keys", headers=bearer(admin), trust_env=False).json()
            [found] = [k for k in keys["keys"] if k["keyId"] == text.split("_")[1]]
            return "lastUseTime" in found

        assert not used(other)
        httpx.get(f"{base}/v1/caller", headers=bearer(other), trust_env=False)
        assert not used(other)  # not before a minute has passed
    monkeypatch.setattr(key_uses, "_WRITE_SECONDS", 0.02)
    with LiveServer(database=database, log_level="error") as server:
        base = f"http://{server.running.http_address}"
        assert used(other)  # the first server wrote it when it stopped
        third = server.key("mine", "read")
        assert not used(third)
        httpx.get(f"{base}/v1/caller", headers=bearer(third), trust_env=False)
        until(lambda: used(third))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


class Failing:
    """A store that takes nothing at first."""

    def __init__(self) -> None:
        self.fails = True
        self.taken: list[dict[str, int]] = []

    async def note_key_uses(self, uses: Any) -> None:
        if self.fails:
            raise store_unavailable()
        self.taken.append(dict(uses))


async def _write_twice(uses: KeyUses, store: Failing) -> None:
    uses.note("a")
    uses.note("b")
    await uses.write()
    uses.note("b")
    store.fails = False
    await uses.write()
    await uses.write()


def test_a_use_that_the_store_does_not_take_is_kept() -> None:
    import asyncio

    store = Failing()
    asyncio.run(_write_twice(KeyUses(store), store))
    assert [list(taken) for taken in store.taken] == [["a", "b"]]
    [taken] = store.taken
    assert taken["b"] > taken["a"]


def test_a_ticket_ends_when_its_key_expires() -> None:
    key, _ = api_keys.new_key("mine", "read")
    ticket = sign_in.new_ticket(key, time.time())
    assert sign_in.ticket_opens(key, ticket, time.time())
    expired = replace(key, expires_ns=time.time_ns())
    assert not sign_in.ticket_opens(expired, ticket, time.time())


def test_each_call_of_an_admin_is_a_line_of_the_audit_log(tmp_path: Path) -> None:
    with LiveServer(database=f"sqlite:///{tmp_path}/x.db", log_level="info") as server:
        instance, reader = server.key(), server.key("mine", "read")
        base = f"http://{server.running.http_address}"
        with httpx.Client(base_url=base, trust_env=False) as http, capture_logs() as lines:
            of_mine = {**bearer(instance), "x-spanloom-project": "mine", "x-request-id": "made"}
            made = http.post("/v1/keys", json={"roles": ["ROLE_READ"]}, headers=of_mine).json()
            made_id = made["key"]["keyId"]
            http.post(f"/v1/keys/{made_id}:rotate", json={}, headers=bearer(instance))
            http.delete("/v1/traces/some%2Ftrace", headers=bearer(reader))
            user = {"userId": "somebody@example.org"}
            http.post("/v1/userData:delete", json=user, headers=of_mine)
            http.get("/v1/caller", headers=bearer(reader))
            until(lambda: len(lines) >= 5)
    by_method = {line["method"].partition("/")[2]: line for line in lines if "method" in line}
    assert {name for name, line in by_method.items() if line.get("audit")} == {
        "CreateKey",
        "RotateKey",
        "DeleteTrace",
        "DeleteUserData",
    }
    made_line = by_method["CreateKey"]
    expected = {
        "event": "call",
        "log_level": "info",
        "audit": True,
        "transport": "rest",
        "code": "OK",
        "request_id": "made",
        "key_project": "*",
        "key_id": instance.split("_")[1],
        "project": "mine",
        "resource": {"key_id": made_id, "project_id": "mine"},
    }
    assert {name: made_line[name] for name in expected} == expected
    assert by_method["RotateKey"]["resource"]["key_id"] == made_id
    refused = by_method["DeleteTrace"]
    assert (refused["code"], refused["reason"]) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    assert refused["key_id"] == reader.split("_")[1]
    assert by_method["GetCaller"]["key_id"] == reader.split("_")[1]
    assert "somebody" not in str(lines)
