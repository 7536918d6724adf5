"""FileService: an upload by its address, and what strangers try with it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.clients import CallError
from tests.contract.conftest import Project, request_of
from tests.servers import PUBLIC_URL, LiveServer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(5000)


def test_generate_upload_url_needs_a_name_and_a_type(project: Project) -> None:
    for fields, field in (
        ({"contentType": "image/png"}, "fileName"),
        ({"fileName": "a" * 257, "contentType": "image/png"}, "fileName"),
        ({"fileName": "a.png"}, "contentType"),
        ({"fileName": "a.png", "contentType": "png"}, "contentType"),
        ({"fileName": "a.png", "contentType": "text/html\r\nx: y"}, "contentType"),
    ):
        with pytest.raises(CallError) as refused:
            project.send("FileService/GenerateUploadUrl", **fields)
        assert [*refused.value.violations] == [field]


def test_get_file_knows_only_what_was_uploaded(project: Project) -> None:
    for key in ("none", "a" * 300):
        asked = request_of("FileService/GetFile", {"fileKey": key})
        with pytest.raises(CallError, match="FILE_NOT_FOUND"):
            project("FileService/GetFile", asked)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    database = f"sqlite:///{tmp_path_factory.mktemp('files')}/spanloom.db"
    with LiveServer(database=database, log_level="error") as running:
        yield running


class Http:
    def __init__(self, server: LiveServer, project: str) -> None:
        self.base = f"http://{server.running.http_address}"
        self.keys = {role: server.key(project, role) for role in ("ingest", "read")}

    def call(self, method: str, path: str, role: str = "", **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.keys[role]}"} if role else {}
        url = path if path.startswith("http") else self.base + path
        headers |= options.pop("headers", {})
        return httpx.request(method, url, headers=headers, trust_env=False, **options)

    def prepare(self, content_type: str = "image/png") -> dict[str, Any]:
        body = {"fileName": "photo.png", "contentType": content_type}
        answer = self.call("POST", "/files/generate-upload-url", "ingest", json=body)
        assert answer.status_code == 200, answer.text
        prepared: dict[str, Any] = answer.json()
        return prepared

    def put(self, url: str, content: bytes = PNG, content_type: str = "image/png") -> int:
        headers = {"content-type": content_type}
        return self.call("PUT", url, content=content, headers=headers).status_code


def test_a_file_is_uploaded_once_and_read_by_its_project(live: LiveServer) -> None:
    http = Http(live, "files")
    prepared = http.prepare()
    assert prepared["uploadUrl"].startswith(f"{http.base}/files/upload/")
    assert prepared["maxSizeBytes"] == 10 * 1024 * 1024
    assert prepared["expiresAt"].endswith("Z")
    path = f"/v1/files/{prepared['fileKey']}"
    assert http.call("GET", path, "read").status_code == 404
    assert http.put(prepared["uploadUrl"], content_type="text/html") == 404
    assert http.put(prepared["uploadUrl"], b"") == 404
    assert http.put(prepared["uploadUrl"], bytes(11 * 1024 * 1024)) == 413
    assert http.put(prepared["uploadUrl"]) == 204
    assert http.put(prepared["uploadUrl"], b"other") == 404
    assert http.put(f"{http.base}/files/upload/guessed") == 404
    read = http.call("GET", path, "read")
    assert (read.status_code, read.content) == (200, PNG)
    assert read.headers["content-type"] == "image/png"
    assert read.headers["content-disposition"] == "attachment"
    assert http.call("GET", path, "ingest").status_code == 403
    assert http.call("GET", path).status_code == 401
    assert Http(live, "other").call("GET", path, "read").status_code == 404


def test_an_address_expires(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    http = Http(live, "files")
    monkeypatch.setattr("spanloom.services.files._SECONDS", 0)
    assert http.put(http.prepare()["uploadUrl"]) == 404


def test_a_project_has_a_most_of_files(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    http = Http(live, "full")
    monkeypatch.setattr("spanloom.services.files._MOST_FILES", 1)
    http.prepare()
    body = {"fileName": "b.png", "contentType": "image/png"}
    assert http.call("POST", "/files/generate-upload-url", "ingest", json=body).status_code == 400


def test_without_a_host_the_address_is_a_setting(live: LiveServer) -> None:
    fields = {"fileName": "a.png", "contentType": "image/png"}
    asked = request_of("FileService/GenerateUploadUrl", fields)
    with pytest.raises(CallError, match="NO_PUBLIC_URL"):
        live.direct().call("FileService/GenerateUploadUrl", asked, key=live.key("files"))


def test_generate_upload_url_begins_with_the_setting(project: Project) -> None:
    prepared = project.send(
        "FileService/GenerateUploadUrl", fileName="a.png", contentType="image/png"
    )
    assert prepared.upload_url.startswith(f"{PUBLIC_URL}/files/upload/")
    assert prepared.file_key
