"""TraceService, by its promises in proto/spanloom/v1/trace_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import as_dict, create_trace, documented, get_trace, list_traces
from tests.contract.conftest import Project

DOCUMENTED = documented("create_trace")
TRACES: dict[str, dict[str, Any]] = {
    "a": {"featureSlug": "qa", "name": "Ask", "user": {"id": "u1"}, "input": "Wo ist das Café?"},
    "b": {"featureSlug": "qa", "organization": {"id": "o1"}, "metadata": {"error": "boom"}},
    "c": {
        "featureSlug": "bot",
        "experiment": {"id": "e1"},
        "logs": [{"id": "l", "type": "tool", "name": "find", "output": {"say": 'a "quoted" 50%'}}],
    },
}
SPANS = {"a": ("01", "01"), "b": ("02", "02.5"), "c": ("03", "05")}

CONDITIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "abc"),
    ({"featureSlug": "qa"}, "ab"),
    ({"name": "Ask"}, "a"),
    ({"userId": "u1"}, "a"),
    ({"organizationId": "o1"}, "b"),
    ({"experimentId": "e1"}, "c"),
    ({"status": "ERROR"}, "b"),
    ({"minDurationMs": 400}, "bc"),
    ({"minDurationMs": 2000}, "c"),
    ({"startTimeFrom": "2026-01-01T00:00:02Z"}, "bc"),
    ({"startTimeBefore": "2026-01-01T00:00:02Z"}, "a"),
    ({"text": "café"}, "a"),
    ({"text": "CAFé"}, "a"),
    ({"text": "BOOM"}, "b"),
    ({"text": 'a "quoted" 50%'}, "c"),
    ({"text": "FIND"}, "c"),
    ({"text": "nowhere"}, ""),
    ({"featureSlug": "qa", "status": "ERROR", "text": "boom"}, "b"),
    ({"featureSlug": "QA"}, ""),
]


def test_create_trace_gives_the_documented_trace_back_as_sent(project: Project) -> None:
    answer = create_trace(project, **DOCUMENTED)
    assert len(answer.trace.id) == 32
    assert answer.warning
    back = as_dict(get_trace(project, answer.trace.id))
    assert {name: back[name] for name in DOCUMENTED if name != "logs"} == {
        name: value for name, value in DOCUMENTED.items() if name != "logs"
    }
    for sent, log in zip(DOCUMENTED["logs"], back["logs"], strict=True):
        assert {name: log[name] for name in sent} == sent


def test_create_trace_does_not_warn_of_what_resolves(project: Project) -> None:
    answer = create_trace(project, featureSlug="f", input="q")
    assert not answer.HasField("warning")


def test_create_trace_takes_an_empty_trace(project: Project) -> None:
    answer = create_trace(project)
    assert get_trace(project, answer.trace.id).status == "UNSET"


def test_list_traces_finds_an_error_anywhere(project: Project) -> None:
    failed = {"id": "l", "type": "tool", "metadata": {"error": "boom"}}
    create_trace(project, id="inside", featureSlug="f", logs=[failed])
    create_trace(project, id="root", featureSlug="f", metadata={"error": "boom"})
    create_trace(project, id="fine", featureSlug="f", logs=[{"id": "l", "type": "tool"}])
    assert sorted(list_traces(project, status="ERROR")) == ["inside", "root"]
    assert sorted(list_traces(project, status="UNSET")) == ["fine", "inside"]
    found = project.send("QueryService/ListTraceSummaries", filter={"hasError": True})
    assert sorted(trace.trace_id for trace in found.trace_summaries) == ["inside", "root"]


def test_create_trace_replaces_the_trace_of_its_id(project: Project) -> None:
    for name in ("first", "second"):
        create_trace(project, id="t-1", name=name)
    assert get_trace(project, "t-1").name == "second"
    assert list_traces(project) == ["t-1"]


def test_create_trace_leaves_nothing_of_the_trace_that_it_replaces(project: Project) -> None:
    logs = [{"id": name, "type": "span"} for name in "abc"]
    create_trace(project, id="t", name="one", logs=logs)
    create_trace(project, id="t", name="two", logs=logs[1:2])
    trace = get_trace(project, "t")
    assert trace.name == "two"
    assert [log.id for log in trace.logs] == ["b"]
    assert list_traces(project) == ["t"]


def test_create_trace_names_every_bad_field_and_stores_nothing(project: Project) -> None:
    logs = [{"id": "a", "type": "span"}, {"type": "spam"}, {"id": "a", "type": "tool"}]
    with pytest.raises(CallError) as refused:
        create_trace(project, id="bad", logs=logs, evaluationConfig={"sampleRate": 2})
    assert refused.value.code == "INVALID_ARGUMENT"
    # REST sends the trace bare, so its paths begin inside it.
    named = {field.removeprefix("trace.") for field in refused.value.violations}
    assert named == {
        "logs[1].id",
        "logs[1].type",
        "logs[2].id",
        "evaluationConfig.sampleRate",
    }
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        get_trace(project, "bad")


def test_create_trace_keeps_odd_parents(project: Project) -> None:
    logs = [
        {"id": "child", "type": "tool", "parentId": "group"},
        {"id": "group", "type": "span"},
        {"id": "lost", "type": "event", "parentId": "nobody"},
        {"id": "loop-1", "type": "span", "parentId": "loop-2"},
        {"id": "loop-2", "type": "span", "parentId": "loop-1"},
    ]
    create_trace(project, id="nest", logs=logs)
    back = {log.id: log.parent_id for log in get_trace(project, "nest").logs}
    assert back == {
        "child": "group",
        "group": "",
        "lost": "nobody",
        "loop-1": "loop-2",
        "loop-2": "loop-1",
    }


def test_create_trace_takes_ids_of_256_characters_without_nul(project: Project) -> None:
    create_trace(project, id="x" * 256)
    for bad in ("x" * 257, "a\0b"):
        with pytest.raises(CallError) as refused:
            create_trace(project, id=bad)
        assert {field.removeprefix("trace.") for field in refused.value.violations} == {"id"}


@pytest.mark.parametrize(
    "trace_id", ["a/b", "100%", "a|b", "a b+c", "😀", "Ä", "A", "a", "?x=1&y", "#", "..'\""]
)
def test_get_trace_keeps_odd_ids_apart(
    project: Project, trace_id: str, request: pytest.FixtureRequest
) -> None:
    create_trace(project, id=trace_id, name=trace_id)
    if "/" in trace_id and "grpc-gateway" in request.node.name:
        # It separates at %2F (docs/gateways.md).
        with pytest.raises(CallError, match="NOT_FOUND : Not Found"):
            get_trace(project, trace_id)
        return
    assert get_trace(project, trace_id).name == trace_id
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        get_trace(project, trace_id.swapcase() + "x")


def test_get_trace_gives_any_text_back(project: Project) -> None:
    text = "NUL \0, emoji 😀, quotes '\"`, \\ \n\t, %s | / \u2028"
    create_trace(project, id="odd", input=text, metadata={text: [text]})
    trace = get_trace(project, "odd")
    assert trace.input.string_value == text
    assert as_dict(trace.metadata) == {text: [text]}


def test_create_log_stores_a_trace_of_its_own(project: Project) -> None:
    answer = project.send(
        "TraceService/CreateLog",
        slug="qa",
        output="Paris",
        inputTokens=3,
        variables=[{"label": "x"}],
    )
    assert "No prompt found" in answer.warning
    trace = get_trace(project, answer.trace.id)
    assert [(log.id, log.type, log.input_tokens) for log in trace.logs] == [
        (answer.log.id, "generation", 3)
    ]
    assert trace.logs[0].prompt.slug == "qa"


def test_create_log_requires_slug_and_output(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        project.send("TraceService/CreateLog")
    assert set(refused.value.violations) == {"slug", "output"}


def test_list_traces_pages_newest_first_without_gap_or_repeat(project: Project) -> None:
    for day in range(1, 8):
        # Two traces share each start, so that ties are paged through too.
        for copy in "ab":
            start = f"2026-01-{(day + 1) // 2:02d}T00:00:00Z"
            create_trace(project, id=f"{day}{copy}", startTime=start, input="left out")
    seen, token = [], ""
    while True:
        page = project.send("TraceService/ListTraces", page_size=4, page_token=token)
        assert len(page.traces) <= 4
        seen += list(page.traces)
        token = page.next_page_token
        if not token:
            break
    starts = [(trace.start_time.seconds, trace.id) for trace in seen]
    assert starts == sorted(starts, reverse=True)
    assert len({trace.id for trace in seen}) == 14
    assert not any(trace.HasField("input") for trace in seen)


def test_list_traces_refuses_a_page_token_of_another_project(project: Project) -> None:
    other = project.neighbour()
    for owner in (project, other):
        for number in range(2):
            create_trace(owner, id=f"t{number}")
    page = other.send("TraceService/ListTraces", page_size=1)
    for token in (page.next_page_token, "made up", "AAAA"):
        with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
            project.send("TraceService/ListTraces", page_token=token)


def test_list_traces_binds_a_page_token_to_its_conditions(project: Project) -> None:
    for n in range(3):
        create_trace(project, id=f"t{n}", featureSlug="qa")
    first = project.send("TraceService/ListTraces", page_size=1, feature_slug="qa")
    page = {"page_size": 1, "page_token": first.next_page_token}
    assert list_traces(project, feature_slug="qa", **page)
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        list_traces(project, feature_slug="other", **page)


def test_list_traces_selects_by_every_condition(project: Project) -> None:
    for trace_id, fields in TRACES.items():
        start, end = (f"2026-01-01T00:00:{second}Z" for second in SPANS[trace_id])
        create_trace(project, id=trace_id, startTime=start, endTime=end, **fields)
    for conditions, expected in CONDITIONS:
        assert list_traces(project, **conditions) == sorted(expected, reverse=True), conditions


def test_list_traces_names_bad_conditions(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        list_traces(project, status="BAD", min_duration_ms=-1, name="a\0", text="b\0")
    assert set(refused.value.violations) == {"status", "minDurationMs", "name", "text"}


def test_delete_trace_removes_the_trace(project: Project) -> None:
    create_trace(project, id="gone", logs=[{"id": "1", "type": "span"}])
    project.send("TraceService/DeleteTrace", trace_id="gone")
    for method in ("TraceService/DeleteTrace", "TraceService/GetTrace"):
        with pytest.raises(CallError) as refused:
            project.send(method, trace_id="gone")
        assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "TRACE_NOT_FOUND")
