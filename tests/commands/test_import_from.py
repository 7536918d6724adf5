"""`spanloom import --from`: the exports of Langfuse and Phoenix, as their exporters write them."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow
import pytest
from google.protobuf import json_format
from pyarrow import parquet

from spanloom.commands.connect import connected
from spanloom.v1 import review_pb2, span_pb2
from tests.test_cli import spanloom

DATA = Path(__file__).parent.parent / "data"
LANGFUSE, PHOENIX = DATA / "langfuse", DATA / "phoenix"
TRACE = "5f1c7c0e9a3b4d2f8e6a7b8c9d0e1f2a"
NO_KEYS: Mapping[str, str] = MappingProxyType({})
OF_PHOENIX = "34d073a6f28910b5ab0502c57078a259"


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


class Place:
    """A new database, and what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = f"sqlite:///{folder}/a.db"

    def load(
        self, product: str, source: object, *, status: int = 0, keys: Mapping[str, str] = NO_KEYS
    ) -> str:
        here = ("--database", self.database, "--project", "p")
        done = spanloom(*("import", "--from", product, str(source), *here), cwd=self.folder, **keys)
        assert done.returncode == status, done.stderr
        assert done.stdout == ""
        return done.stderr

    def spans(self) -> dict[str, span_pb2.Span]:
        with connected(None, None, "p", None, self.database) as client:
            return {span.span_id: span for span in client.list_spans()}

    def reviews(self) -> dict[str, review_pb2.Review]:
        with connected(None, None, "p", None, self.database) as client:
            return {review.review_id: review for review in client.list_reviews()}

    def messages(self, trace_id: str) -> list[str]:
        with connected(None, None, "p", None, self.database) as client:
            found = client.list_messages(trace_id=trace_id)
            return [message.user.text for message in found if message.HasField("user")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_enriched_observations_of_langfuse(place: Place) -> None:
    assert "imported 4 spans\n" in place.load("langfuse", LANGFUSE / "observations_v2.jsonl")
    found = place.spans()
    agent, model, tool, event = (found[f"aa0000000000000{n}"] for n in (1, 2, 3, 4))
    assert {span.trace_id for span in found.values()} == {TRACE}
    assert (agent.parent_span_id, agent.kind) == ("", span_pb2.SPAN_KIND_AGENT)
    assert agent.agent.name == "support-agent"
    assert agent.start_time.ToJsonString() == "2024-05-29T13:46:19.963Z"
    assert agent.end_time.ToJsonString() == "2024-05-29T13:46:24.963Z"
    assert {span.conversation_id for span in found.values()} == {"s-1"}
    assert {span.user.id for span in found.values()} == {"ada"}
    assert {span.environment for span in found.values()} == {"production"}
    assert dict(agent.metadata) == {"channel": "web", "cart": {"items": 2}}
    tags = agent.attributes["langfuse.tags"].list_value.values
    assert [tag.string_value for tag in tags] == ["beta", "eu"]
    assert model.model.request_model == "gpt-4o"
    assert (model.model.input_tokens, model.model.output_tokens) == (120, 18)
    assert model.model.cache_read_tokens == 40
    assert (model.model.cost_usd, model.model.input_cost_usd) == (0.00048, 0.0003)
    assert model.model.cost_source == span_pb2.COST_SOURCE_GIVEN
    assert [m.parts[0].text for m in model.output_messages] == ["It arrives tomorrow."]
    assert dict(model.config) == {"temperature": 0.7}
    assert (model.prompt.slug, model.prompt.version) == ("support", "3")
    assert dict(model.metrics) == {"time_to_first_token_s": 0.4}
    assert (tool.kind, tool.tool.name) == (span_pb2.SPAN_KIND_TOOL, "track")
    assert tool.status.code == span_pb2.STATUS_CODE_ERROR
    assert tool.status.message == "no answer from the carrier"
    assert tool.input.struct_value["parcel"] == "77"
    assert event.kind == span_pb2.SPAN_KIND_EVENT
    assert event.end_time == event.start_time
    assert "Where is my parcel?" in place.messages(TRACE)


def test_scores_of_langfuse_are_reviews(place: Place) -> None:
    said = place.load("langfuse", LANGFUSE / "scores.jsonl", status=1)
    assert "imported 0 spans and 4 reviews\n" in said
    assert "spanloom: line 5: trace_id: a score of no trace and no session" in said
    assert "spanloom: 1 record could not be stored\n" in said
    found = place.reviews()
    assert found["sc-1"].target.trace_id == TRACE
    assert (found["sc-1"].score, found["sc-1"].comment) == (0.9, "close to the reference")
    assert found["sc-1"].source == review_pb2.REVIEW_SOURCE_PROGRAM
    assert found["sc-2"].target.span_id == "aa00000000000002"
    assert (found["sc-2"].score, found["sc-2"].source) == (1, review_pb2.REVIEW_SOURCE_PERSON)
    assert (found["sc-3"].label, found["sc-3"].HasField("score")) == ("friendly", False)
    assert found["sc-4"].target.conversation_id == "s-1"
    assert found["sc-4"].comment == "The carrier was down."


def test_legacy_traces_of_langfuse_are_above_their_observations(place: Place) -> None:
    place.load("langfuse", LANGFUSE / "observations.jsonl")
    place.load("langfuse", LANGFUSE / "traces.jsonl")
    found = place.spans()
    root, below = found["lf-trace-1"], found["obs-1"]
    assert (root.trace_id, root.parent_span_id, root.name) == ("lf-trace-1", "", "qa")
    assert (below.trace_id, below.parent_span_id) == ("lf-trace-1", "lf-trace-1")
    assert root.user.id == "bob"
    assert root.input.struct_value["q"] == "why?"


def test_a_trace_of_langfuses_api_brings_all_that_is_in_it(place: Place) -> None:
    assert "imported 2 spans and 1 review\n" in place.load("langfuse", LANGFUSE / "api_trace.json")
    found = place.spans()
    root, model = found["trace-api"], found["gen-api"]
    assert root.end_time.ToJsonString() == "2024-06-01T10:00:01.500Z"
    assert (root.user.id, root.conversation_id) == ("cara", "s-2")
    assert model.parent_span_id == "trace-api"
    assert (model.model.input_tokens, model.model.cost_usd) == (10, 0.002)
    [review] = place.reviews().values()
    assert (review.author, review.comment) == ("u9", "good")


def test_a_second_import_changes_nothing(place: Place) -> None:
    files = [
        *(("langfuse", LANGFUSE / f"{name}.jsonl") for name in ("observations_v2", "traces")),
        *(("langfuse", LANGFUSE / "api_trace.json"), ("phoenix", PHOENIX / "spans.json")),
    ]
    for product, file in files:
        place.load(product, file)
    spans, reviews = place.spans(), place.reviews()
    for product, file in files:
        place.load(product, file)
    for before, after in ((spans, place.spans()), (reviews, place.reviews())):
        for one in (*before.values(), *after.values()):
            one.ClearField(
                "update_time" if "update_time" in one.DESCRIPTOR.fields_by_name else "name"
            )
        assert before == after


def test_bad_lines_are_reported_and_the_others_are_kept(place: Place) -> None:
    good = (LANGFUSE / "observations_v2.jsonl").read_text().splitlines()
    bad = [
        "not json",
        "[]x",
        '"text"',
        "{}",
        json.dumps({**json.loads(good[0]), "type": "POEM"}),
        json.dumps({**json.loads(good[0]), "start_time": "soon"}),
        json.dumps({**json.loads(good[0]), "id": ""}),
    ]
    file = place.folder / "mixed.jsonl"
    file.write_text("\n".join([good[0], *bad, "", good[1]]))
    said = place.load("langfuse", file, status=1)
    assert "imported 2 spans\n" in said
    for line in range(2, 9):
        assert f"spanloom: line {line}: " in said
    assert "spanloom: 7 records could not be stored\n" in said
    assert set(place.spans()) == {"aa00000000000001", "aa00000000000002"}


def test_langfuse_in_parquet_and_gzip(place: Place) -> None:
    rows = lines_of(LANGFUSE / "observations_v2.jsonl")
    types = {
        "metadata": pyarrow.map_(pyarrow.string(), pyarrow.string()),
        "usage_details": pyarrow.map_(pyarrow.string(), pyarrow.int64()),
        "cost_details": pyarrow.map_(pyarrow.string(), pyarrow.float64()),
    }
    columns = {}
    for name in ("id", "trace_id", "type", "parent_observation_id", "name", "session_id", *types):
        values = [row[name] for row in rows]
        made = [list(v.items()) if isinstance(v, dict) else v for v in values]
        columns[name] = pyarrow.array(made, types.get(name))
    for name in ("start_time", "end_time"):
        iso = [row[name] and row[name].replace(" ", "T") for row in rows]
        columns[name] = pyarrow.array(iso).cast(pyarrow.timestamp("us"))
    parquet.write_table(pyarrow.table(columns), place.folder / "o.parquet")
    place.load("langfuse", place.folder / "o.parquet")
    found = place.spans()
    assert found["aa00000000000002"].model.cost_usd == 0.00048
    assert found["aa00000000000001"].start_time.ToJsonString() == "2024-05-29T13:46:19.963Z"
    assert dict(found["aa00000000000001"].metadata) == {"channel": "web", "cart": {"items": 2}}
    packed = place.folder / "o.jsonl.gz"
    packed.write_bytes(gzip.compress((LANGFUSE / "observations_v2.jsonl").read_bytes()))
    assert "imported 4 spans\n" in place.load("langfuse", packed)
    packed.write_bytes(packed.read_bytes()[:-20])
    assert "cannot be unpacked" in place.load("langfuse", packed, status=1)


@pytest.mark.parametrize("name", ["spans.json", "dataframe.jsonl", "dataframe.parquet"])
def test_spans_of_phoenix(place: Place, name: str) -> None:
    """Recorded from Phoenix: its REST API, and the client's data frame as pandas writes it."""
    assert "imported 3 spans\n" in place.load("phoenix", PHOENIX / name)
    found = {span.name: span for span in place.spans().values()}
    root, model, search = (found[of] for of in ("query", "ChatCompletion", "search"))
    assert {span.trace_id for span in found.values()} == {OF_PHOENIX}
    assert (root.span_id, root.parent_span_id) == ("07984548d5f52d6f", "")
    assert {model.parent_span_id, search.parent_span_id} == {root.span_id}
    assert model.kind == span_pb2.SPAN_KIND_MODEL
    assert search.kind == span_pb2.SPAN_KIND_RETRIEVAL
    assert (model.model.request_model, model.model.input_tokens) == ("gpt-4o", 21)
    assert model.start_time.ToJsonString().startswith("2026-11-28T10:56:13.795")
    assert model.input_messages[-1].parts[0].text == "Capital of France?"
    assert model.output_messages[0].parts[0].text == "Paris"
    assert {span.conversation_id for span in found.values()} == {"s-9"}
    assert root.user.id == "dora"
    assert root.status.code == span_pb2.STATUS_CODE_ERROR
    assert dict(root.metadata) == {"team": "eu", "n": 2}
    [document] = json_format.MessageToDict(search.output)["documents"]
    assert document["content"] == "Paris is"
    [event] = root.events
    assert event.attributes["exception.type"].string_value == "ValueError"


def test_rows_that_are_no_spans_of_phoenix_are_reported(place: Place) -> None:
    good = json.loads((PHOENIX / "dataframe.jsonl").read_text().splitlines()[0])
    bad = [
        {**good, "context.trace_id": "x"},
        {**good, "context.span_id": "0" * 16},
        {**good, "start_time": None},
        {**good, "parent_id": "short"},
    ]
    file = place.folder / "mixed.jsonl"
    file.write_text("\n".join(map(json.dumps, [*bad, good])))
    said = place.load("phoenix", file, status=1)
    assert "imported 1 span\n" in said
    for line in range(1, 5):
        assert f"spanloom: line {line}: " in said


@pytest.mark.parametrize("content", [b"", b"\n\n", b"[]", b'{"data": []}'])
def test_files_without_records(place: Place, content: bytes) -> None:
    (place.folder / "empty").write_bytes(content)
    assert "imported 0 spans\n" in place.load("langfuse", "empty")


@contextmanager
def serving(pages: dict[str, list[Any]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An API with pages by path, and the requests that it gets: URLs and credentials."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("authorization", "")))
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            answers = pages.get(parts.path)
            at = int(query.get("cursor") or query.get("page", "1")) - 1
            if query.get("cursor"):
                at += 1
            body = json.dumps(answers[at] if answers else {}).encode()
            if answers and answers[at] == "busy":
                answers.pop(at)
                self.send_response(429)
                self.send_header("retry-after", "0")
                body = b""
            else:
                self.send_response(200 if answers else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_api_of_langfuse_is_read_page_by_page(place: Place) -> None:
    api = json.loads((LANGFUSE / "api_trace.json").read_text())
    observations, scores = api.pop("observations"), api.pop("scores")
    listed = {**api, "observations": ["gen-api"], "scores": ["sc-api"]}

    def page(data: list[Any], number: int, total: int) -> dict[str, Any]:
        return {"data": data, "meta": {"page": number, "limit": 100, "totalPages": total}}

    second = {**listed, "id": "trace-2"}
    pages: dict[str, list[Any]] = {
        "/api/public/traces": ["busy", page([listed], 1, 2), page([second], 2, 2)],
        "/api/public/observations": [page(observations, 1, 1)],
        "/api/public/v2/scores": [page(scores, 1, 1)],
    }
    keys = {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}
    with serving(pages) as (url, asked):
        assert "imported 3 spans and 1 review\n" in place.load("langfuse", url, keys=keys)
        assert {credentials for _, credentials in asked} == {"Basic cGs6c2s="}
        said = place.load("langfuse", f"{url}/api/public/scores", status=1, keys=keys)
    assert "the server answered with status 404" in said
    assert set(place.spans()) == {"trace-api", "trace-2", "gen-api"}


def test_the_api_of_phoenix_is_read_page_by_page(place: Place) -> None:
    first, *others = json.loads((PHOENIX / "spans.json").read_text())["data"]
    path = "/v1/projects/default/spans"
    pages = {path: [{"data": [first], "next_cursor": "1"}, {"data": others, "next_cursor": None}]}
    with serving(pages) as (url, asked):
        said = place.load("phoenix", url + path, keys={"PHOENIX_API_KEY": "k"})
    assert "imported 3 spans\n" in said
    assert {credentials for _, credentials in asked} == {"Bearer k"}
    assert len(asked) == 2
    assert "must be that of spans" in place.load("phoenix", "http://127.0.0.1:1/", status=1)
