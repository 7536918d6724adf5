"""What breaks clients is refused, and what does not is accepted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract_rules.conftest import Buf, copy_of_workspace
from tools import contract

Change = Callable[[str], str]


def replaced(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert text.count(old) == 1, old
        return text.replace(old, new)

    return change


def without_rpc(name: str) -> Change:
    return lambda text: re.sub(rf"  rpc {name}\(.*?\n  }}\n", "", text, count=1, flags=re.DOTALL)


BREAKING: dict[str, tuple[str, Change]] = {
    "a deleted method": ("span_service.proto", without_rpc("GetSpan")),
    "a renamed service": ("review_service.proto", replaced("service Review", "service Judgement")),
    "a dropped presence": (
        "span.proto",
        replaced("optional double cost_usd = 9", "double cost_usd = 9"),
    ),
    "a deleted field": (
        "trace.proto",
        lambda text: re.sub(r"\n  optional string chain_slug = 4.*;", "", text),
    ),
    "a renamed field": ("review.proto", replaced("string author = 7", "string judge = 7")),
    "another number": ("review.proto", replaced("string author = 7", "string author = 17")),
    "another type": ("review.proto", replaced("optional double score", "optional float score")),
    "a repeated field": (
        "review_service.proto",
        replaced("  string span_id = 4", "  repeated string span_id = 4"),
    ),
    "another JSON name": (
        "event.proto",
        replaced('event_id = 1 [json_name = "event_id"]', "event_id = 1"),
    ),
    "a renamed enum value": ("span.proto", replaced("SPAN_KIND_STEP = 1", "SPAN_KIND_CHAIN = 1")),
    "a deleted message": (
        "query_service.proto",
        lambda text: re.sub(
            r"  Limits limits = 6;|  message Limits {.*?\n  }\n", "", text, flags=re.DOTALL
        ),
    ),
    "another stream": ("span_service.proto", replaced("(stream ImportSpans", "(ImportSpans")),
    "another request": (
        "span_service.proto",
        replaced("rpc GetSpan(GetSpanRequest)", "rpc GetSpan(DeleteTraceSpansRequest)"),
    ),
    "another idempotency": (
        "trace_service.proto",
        lambda text: text.replace("NO_SIDE_EFFECTS", "IDEMPOTENT", 1),
    ),
    "a deleted file": ("review_service.proto", lambda text: ""),
}
COMPATIBLE: dict[str, tuple[str, Change]] = {
    "a new field": (
        "review.proto",
        replaced(
            "  // The time when the review", "  bool more = 20;\n  // The time when the review"
        ),
    ),
    "a new enum value": (
        "span.proto",
        replaced("SPAN_KIND_STEP = 1;", "SPAN_KIND_STEP = 1;\n  SPAN_KIND_NEW = 99;"),
    ),
    "a deprecated field": (
        "review.proto",
        lambda text: re.sub(
            r"string author = 7 \[(.*)\]", r"string author = 7 [\1, deprecated = true]", text
        ),
    ),
    "another comment": ("review.proto", replaced("// The score,", "// A score,")),
}
PATHS: dict[str, tuple[str, Change]] = {
    "another path": ("span_service.proto", replaced("/v1/spans:write", "/v1/spans")),
    "another HTTP method": ("review_service.proto", replaced("put: ", "post: ")),
    "another body": ("review_service.proto", replaced('body: "review"', 'body: "*"')),
    "a deleted additional path": (
        "span_service.proto",
        replaced('additional_bindings: {get: "/v1/traces/{trace_id}/spans"}', ""),
    ),
}


def changed(target: Path, change: tuple[str, Change]) -> Path:
    """A workspace in which one proto file differs, or is gone."""
    copy_of_workspace(target)
    file = target / "proto" / "spanloom" / "v1" / change[0]
    before = file.read_text()
    after = change[1](before)
    assert after != before
    if after:
        file.write_text(after)
    else:
        file.unlink()
    return target


@pytest.mark.parametrize("name", BREAKING)
def test_buf_refuses(name: str, workspace: Path, buf: Buf, tmp_path: Path) -> None:
    new = changed(tmp_path / "new", BREAKING[name])
    assert buf("build", cwd=new).returncode == 0
    assert buf("breaking", "--against", str(workspace), cwd=new).returncode != 0


@pytest.mark.parametrize("name", COMPATIBLE)
def test_buf_accepts(name: str, workspace: Path, buf: Buf, tmp_path: Path) -> None:
    new = changed(tmp_path / "new", COMPATIBLE[name])
    done = buf("breaking", "--against", str(workspace), cwd=new)
    assert (done.returncode, done.stdout) == (0, "")


def rest_paths(old: Path, new: Path) -> subprocess.CompletedProcess[str]:
    images = [str(contract.image(side, side / "image.binpb")) for side in (old, new)]
    command = (sys.executable, str(contract.ROOT / "tools" / "rest_paths.py"), *images)
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("name", PATHS)
def test_a_changed_rest_call_is_refused(name: str, workspace: Path, tmp_path: Path) -> None:
    done = rest_paths(workspace, changed(tmp_path / "new", PATHS[name]))
    assert done.returncode == 1
    assert "REST calls that are gone or changed" in done.stderr


def test_new_rest_calls_are_accepted(workspace: Path, tmp_path: Path) -> None:
    old = changed(tmp_path / "old", PATHS["a deleted additional path"])
    assert rest_paths(old, workspace).returncode == 0
