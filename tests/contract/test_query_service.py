"""QueryService over every transport: lists of traces and conversations, and what they are of."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.model import Feedback, Span
from tests.clients import CallError
from tests.contract.calls import SECOND, as_dict, create_trace, model_call, write_spans
from tests.contract.conftest import Project
from tests.parts import parts

LIST = "QueryService/ListTraceSummaries"


def a_root(trace_id: str, start_s: int = 1, body: dict[str, Any] | None = None, **of: Any) -> Span:
    given = {
        "session_id": trace_id,
        "event_id": trace_id,
        "name": "run",
        "start_ns": start_s * SECOND,
        "end_ns": (start_s + 2) * SECOND,
        "status": "OK",
        **of,
    }
    return Span(trace_id=trace_id, span_id=trace_id, **parts(body or {}), **given)


def a_call(trace_id: str, span_id: str, start_s: int = 1, **of: Any) -> Span:
    """A model call inside the root."""
    given = {"parent_id": trace_id, "model": "m", "input_tokens": 10, "output_tokens": 5, **of}
    return model_call(trace_id, span_id, start_s, "What?", "That.", **given)


def review(project: Project, **target: str) -> None:
    fields = {"reviewId": "r", "target": target, "name": "n", "score": 1}
    project.send("ReviewService/WriteReview", review=fields)


def listed(project: Project, **fields: Any) -> list[str]:
    return [s.trace_id for s in project.send(LIST, **fields).trace_summaries]


def all_pages(project: Project, method: str, items: str, **fields: Any) -> list[Any]:
    found: list[Any] = []
    token = ""
    while True:
        page = project.send(method, page_token=token, **fields)
        found += getattr(page, items)
        token = page.next_page_token
        if not token:
            return found


def test_get_trace_summary_has_the_figures_of_the_whole_trace(project: Project) -> None:
    root = a_root(
        "t",
        body={
            "inputs": {"question": "Where is it?"},
            "outputs": "Here.",
            "feature_slug": "search",
            "user": {"id": "u", "name": "Ada"},
            "organization": {"id": "o"},
        },
        session_id="c",
        agent_name="guide",
    )
    write_spans(
        project,
        root,
        a_call("t", "a", 1, cost=0.25, agent_name="guide", session_id="c"),
        a_call("t", "b", 2, cost=0.5, agent_name="helper", model="n", status="ERROR"),
        a_call("t", "tool", 2, kind="tool", model="", input_tokens=None, output_tokens=None),
    )
    summary = project.send("QueryService/GetTraceSummary", traceId="t").trace_summary
    assert as_dict(summary) == {
        "traceId": "t",
        "conversationId": "c",
        "name": "run",
        "feature": "search",
        "startTime": "1970-01-01T00:00:01Z",
        "endTime": "1970-01-01T00:00:03Z",
        "duration": "2s",
        "status": {"code": "STATUS_CODE_OK"},
        "figures": {
            "spanCount": "4",
            "errorCount": "1",
            "modelCallCount": "2",
            "toolCallCount": "1",
            "inputTokens": "20",
            "outputTokens": "10",
            "costUsd": 0.75,
            "pricedModelCallCount": "2",
        },
        "agentNames": ["guide", "helper"],
        "models": ["m", "n"],
        "user": {"id": "u", "name": "Ada"},
        "organization": {"id": "o"},
        "inputPreview": "Where is it?",
        "outputPreview": "Here.",
        "reviews": {},
    }


def test_a_summary_tells_the_api_and_the_environment(project: Project) -> None:
    create_trace(project, id="t", name="run", logs=[{"id": "g", "type": "generation"}])
    summary = project.send("QueryService/GetTraceSummary", traceId="t").trace_summary
    assert as_dict(summary)["origin"] == "SPAN_ORIGIN_TRACES"


def test_figures_leave_out_what_a_step_repeats(project: Project) -> None:
    write_spans(
        project,
        a_root("t", input_tokens=20, output_tokens=10, cost=0.5),
        a_call("t", "a", cost=0.25),
        a_call("t", "outer", cost=0.25),
        a_call("t", "inner", parent_id="outer", cost=0.25),
    )
    figures = project.send("QueryService/GetTraceSummary", traceId="t").trace_summary.figures
    assert (figures.input_tokens, figures.output_tokens) == (20, 10)
    assert (figures.model_call_count, figures.cost_usd) == (2, 0.5)


def test_a_running_trace_has_no_end(project: Project) -> None:
    write_spans(project, a_call("late", "a"), a_root("open", 5, end_ns=None))
    for trace_id in ("late", "open"):
        summary = project.send("QueryService/GetTraceSummary", traceId=trace_id).trace_summary
        assert not summary.HasField("end_time")
        assert not summary.HasField("duration")
    assert listed(project, filter={"running": True}) == ["open", "late"]
    assert listed(project, filter={"running": False}) == []


def test_get_trace_summary_of_an_unknown_trace(project: Project) -> None:
    for trace_id in ("nowhere", "x" * 257):
        with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
            project.send("QueryService/GetTraceSummary", traceId=trace_id)


def filled(project: Project) -> None:
    """Traces a to d; all but d have a root, and c failed inside."""
    write_spans(
        project,
        a_root("a", 1, {"feature_slug": "f", "user": {"id": "u"}}, session_id="conv"),
        a_call("a", "a1", 1, cost=1.0, session_id="conv"),
        a_root("b", 2, {"experiment_id": "x", "organization": {"id": "o"}}, status="ERROR"),
        a_call("b", "b1", 2, model="other", agent_name="guide", input_tokens=100),
        a_root("c", 3, {"metadata": {"tier": "gold", "n": 7}}, name="another", end_ns=99 * SECOND),
        a_call("c", "c1", 3, status="ERROR", cost=0.5),
        a_call("d", "d1", 4),
    )
    project.send(
        "ReviewService/WriteReview",
        review={
            "reviewId": "r",
            "target": {"traceId": "b", "spanId": "b1"},
            "name": "n",
            "score": 1,
        },
    )


CONDITIONS = [
    ({}, "dcba"),
    ({"start_time_from": "1970-01-01T00:00:02Z"}, "dcb"),
    ({"start_time_before": "1970-01-01T00:00:02Z"}, "a"),
    ({"conversation_id": "conv"}, "a"),
    ({"name": "another"}, "c"),
    ({"feature": "f"}, "a"),
    ({"user_id": "u"}, "a"),
    ({"organization_id": "o"}, "b"),
    ({"experiment_id": "x"}, "b"),
    ({"agent_name": "guide"}, "b"),
    ({"model": "other"}, "b"),
    ({"status_code": "STATUS_CODE_ERROR"}, "b"),
    ({"status_code": "STATUS_CODE_OK"}, "ca"),
    ({"has_error": True}, "cb"),
    ({"has_error": False}, "da"),
    ({"has_review": True}, "b"),
    ({"has_review": False}, "dca"),
    ({"min_duration": "3s"}, "c"),
    ({"min_cost_usd": 0.75}, "a"),
    ({"min_cost_usd": 0.5}, "ca"),
    ({"min_tokens": 100}, "b"),
    ({"attributes": ["tier=gold"]}, "c"),
    ({"attributes": ["tier=gold", "n=7"]}, "c"),
    ({"attributes": ["tier=gold", "n=8"]}, ""),
    ({"text": "GOLD"}, "c"),
    ({"text": "absent"}, ""),
    ({"has_error": True, "agent_name": "guide"}, "b"),
    ({"environment": "production"}, ""),
    ({"origins": ["SPAN_ORIGIN_EVENTS"]}, ""),
]


@pytest.mark.parametrize(("conditions", "found"), CONDITIONS)
def test_list_trace_summaries_by_every_condition(
    project: Project, conditions: dict[str, Any], found: str
) -> None:
    filled(project.direct())
    assert listed(project, filter=conditions) == list(found)
    count = project.send("QueryService/CountTraces", filter=conditions, time_limit="10s")
    assert (count.trace_count, count.complete) == (len(found), True)


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("START_TIME", "dcba"),
        ("DURATION", "cbad"),
        ("COST", "acdb"),
        ("TOKENS", "bdca"),
        ("ERRORS", "bcda"),
    ],
)
def test_list_trace_summaries_in_every_order(project: Project, order: str, found: str) -> None:
    filled(project.direct())
    if order == "ERRORS":
        write_spans(project.direct(), a_call("b", "b2", 2, status="ERROR"))
    by = f"TRACE_ORDER_{order}"
    assert listed(project, order=by) == list(found)
    pages = all_pages(project, LIST, "trace_summaries", order=by, page_size=1)
    assert [summary.trace_id for summary in pages] == list(found)


def test_list_trace_summaries_by_pages_with_conditions(project: Project) -> None:
    traces = [a_root(f"{n:03}", n + 1) for n in range(30)]
    calls = [
        a_call(f"{n:03}", "a", n + 1, status="ERROR" if n % 3 == 0 else "OK") for n in range(30)
    ]
    write_spans(project.direct(), *traces, *calls)
    for fields in ({}, {"filter": {"has_error": True}}, {"filter": {"min_tokens": 1}}):
        everything = listed(project, page_size=1000, **fields)
        assert len(everything) == (10 if "has_error" in str(fields) else 30)
        pages = all_pages(project, LIST, "trace_summaries", page_size=4, **fields)
        assert [summary.trace_id for summary in pages] == everything


def test_list_trace_summaries_names_what_is_wrong(project: Project) -> None:
    for fields, field in (
        ({"page_size": -1}, "pageSize"),
        ({"filter": {"min_tokens": -1}}, "filter.minTokens"),
        ({"filter": {"attributes": ["no"]}}, "filter.attributes[0]"),
        ({"filter": {"attributes": ["a=b"] * 11}}, "filter.attributes"),
        ({"filter": {"text": "x" * 1025}}, "filter.text"),
        ({"filter": {"min_duration": "-1s"}}, "filter.minDuration"),
        ({"filter": {"start_time_from": "1960-01-01T00:00:00Z"}}, "filter.startTimeFrom"),
    ):
        with pytest.raises(CallError) as refused:
            project.send(LIST, **fields)
        assert set(refused.value.violations) == {field}
    write_spans(project, a_root("a"), a_root("b"))
    token = project.send(LIST, page_size=1).next_page_token
    others: list[dict[str, Any]] = [{"filter": {"name": "run"}}, {"order": "TRACE_ORDER_COST"}]
    for other in others:
        with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
            project.send(LIST, page_token=token, **other)
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        project.neighbour().send(LIST, page_token=token)


def test_numbers_that_no_enum_has_are_refused(project: Project) -> None:
    """By direct calls: gateways have their own answer to these."""
    for method, fields, field in (
        (LIST, {"order": 99}, "order"),
        (LIST, {"filter": {"status_code": 7}}, "filter.statusCode"),
        (LIST, {"filter": {"origins": [77]}}, "filter.origins[0]"),
        ("QueryService/CountTraces", {"facets": [99]}, "facets[0]"),
        ("ReviewService/ListReviews", {"source": 9}, "source"),
    ):
        with pytest.raises(CallError) as refused:
            project.direct().send(method, **fields)
        assert set(refused.value.violations) == {field}


def test_a_page_of_summaries_is_at_most_3_mib(project: Project) -> None:
    long = "€" * 1_000_000
    body = {"user": {"id": "u", "name": long}, "outputs": long}
    for n in range(5):
        write_spans(project, a_root(f"t{n}", n + 1, body, status_message=long))
    page = project.send(LIST)
    assert len(page.trace_summaries) == 5
    assert page.ByteSize() < 3 << 20


def test_count_traces_by_facets_and_over_time(project: Project) -> None:
    filled(project.direct())
    facets = ["STATUS_CODE", "NAME", "FEATURE", "MODEL", "AGENT", "ENVIRONMENT", "USER", "ORIGIN"]
    counted = project.send(
        "QueryService/CountTraces",
        filter={
            "start_time_from": "1970-01-01T00:00:01Z",
            "start_time_before": "1970-01-01T00:00:05Z",
        },
        facets=[f"TRACE_FACET_{name}" for name in facets],
        bucket_count=2,
        time_limit="10s",
    )
    values = {
        facet.facet: {value.value: value.count for value in facet.values}
        for facet in counted.facets
    }
    assert list(values.values()) == [
        {"STATUS_CODE_OK": 2, "STATUS_CODE_ERROR": 1, "STATUS_CODE_UNSPECIFIED": 1},
        {"run": 2, "another": 1, "": 1},
        {"": 3, "f": 1},
        {"m": 3, "other": 1},
        {"": 3, "guide": 1},
        {"": 4},
        {"": 3, "u": 1},
        {"SPAN_ORIGIN_UNSPECIFIED": 4},
    ]
    assert [as_dict(bucket) for bucket in counted.buckets] == [
        {"startTime": "1970-01-01T00:00:01Z", "traceCount": "2", "failedTraceCount": "1"},
        {"startTime": "1970-01-01T00:00:03Z", "traceCount": "2", "failedTraceCount": "1"},
    ]


def test_count_traces_names_what_is_wrong(project: Project) -> None:
    for fields, field in (
        ({"bucket_count": 2}, "bucketCount"),
        ({"bucket_count": 121}, "bucketCount"),
        ({"facets": ["TRACE_FACET_NAME", "TRACE_FACET_NAME"]}, "facets[1]"),
        ({"max_values": -1}, "maxValues"),
        ({"time_limit": "11s"}, "timeLimit"),
    ):
        with pytest.raises(CallError) as refused:
            project.send("QueryService/CountTraces", **fields)
        assert set(refused.value.violations) == {field}


def test_poll_trace_changes_misses_nothing(project: Project) -> None:
    start = project.send("QueryService/PollTraceChanges")
    assert not start.changes
    write_spans(project, a_root("a"), a_root("b"))
    write_spans(project, a_call("a", "late"))
    write_spans(project, a_root("gone"))
    project.send("TraceService/DeleteTrace", traceId="gone")
    polled = project.send("QueryService/PollTraceChanges", cursor=start.cursor)
    assert [(change.trace_id, change.deleted) for change in polled.changes] == [
        ("b", False),
        ("a", False),
        ("gone", True),
    ]
    assert polled.changes[-1].HasField("change_time")
    assert not polled.has_more
    again = project.send("QueryService/PollTraceChanges", cursor=polled.cursor)
    assert not again.changes
    seen, cursor, more = [], start.cursor, True
    while more:
        page = project.send("QueryService/PollTraceChanges", cursor=cursor, max_changes=1)
        seen += [change.trace_id for change in page.changes]
        cursor, more = page.cursor, page.has_more
    assert set(seen) == {"a", "b", "gone"}
    with pytest.raises(CallError, match="INVALID_CURSOR"):
        project.neighbour().send("QueryService/PollTraceChanges", cursor=start.cursor)
    with pytest.raises(CallError, match="INVALID_FIELD"):
        project.send("QueryService/PollTraceChanges", max_changes=-1)


def outline(project: Project, trace_id: str, **fields: Any) -> list[Any]:
    found: list[Any] = project.send("QueryService/GetTraceOutline", traceId=trace_id, **fields)
    return found


def test_get_trace_outline_has_all_spans_as_columns(project: Project) -> None:
    write_spans(
        project,
        a_call("t", "early", 1, cost=0.5),
        a_root("t", 2, input_tokens=10, output_tokens=5),
        a_call("t", "open", 3, end_ns=None, agent_name="guide", parent_id="early", cost=0.5),
        a_call("t", "lost", 4, parent_id="nobody", status="ERROR"),
    )
    project.send(
        "ReviewService/WriteReview",
        review={
            "reviewId": "r",
            "target": {"traceId": "t", "spanId": "open"},
            "name": "n",
            "score": 1,
        },
    )
    [response] = outline(project, "t")
    assert response.span_count == 4
    chunk = as_dict(response.chunk)
    strings = chunk["strings"]
    assert strings[0] == ""
    assert [strings[name] for name in chunk["names"]] == ["", "run", "", ""]
    assert chunk["spanIds"] == ["early", "t", "open", "lost"]
    assert chunk["parentRows"] == [1, -1, 0, -1]
    assert chunk["otherParents"] == {"3": "nobody"}
    assert chunk["kinds"] == [2, 1, 2, 2]
    assert chunk["statusCodes"] == [0, 1, 0, 2]
    assert chunk["startOffsetsMs"] == [0, 1000, 2000, 3000]
    assert chunk["durationsMs"] == [1000, 2000, -1, 1000]
    assert [strings[agent] for agent in chunk["agents"]] == ["", "", "guide", ""]
    assert chunk["inputTokens"] == [10, 10, 10, 10]
    assert chunk["costsUsd"] == [0.5, -1, 0.5, -1]
    assert chunk["reviewedRows"] == ["2"]
    assert chunk["repeatedRows"] == ["0", "1"]
    assert response.chunk.base_time.seconds == 1


def test_get_trace_outline_in_chunks(project: Project) -> None:
    spans = [a_call("t", f"{n:05}", n, parent_id=f"{n + 1:05}") for n in range(10_050)]
    write_spans(project.direct(), *spans)
    first, second = outline(project, "t")
    assert {part.span_count for part in (first, second)} == {10_050}
    # The first rows come while the others are read.
    assert len(first.chunk.span_ids) == 500
    assert (second.chunk.first_row, len(second.chunk.span_ids)) == (500, 9_550)
    assert list(second.chunk.parent_rows[-2:]) == [10_049, -1]
    assert list(second.chunk.strings) == []
    assert dict(second.chunk.other_parents) == {10_049: "10050"}
    assert [part.cursor != "" for part in (first, second)] == [False, True]


def test_get_trace_outline_behind_a_cursor(project: Project) -> None:
    write_spans(project, a_root("t"), a_call("t", "a"), a_call("t", "b"))
    [first] = outline(project, "t")
    write_spans(project, a_call("t", "c", 5), a_call("t", "a", 6))
    project.send("EventService/DeleteEvent", event_id="b")
    [more] = outline(project, "t", cursor=first.cursor)
    assert list(more.chunk.span_ids) == ["c", "a"]
    assert dict(more.chunk.other_parents) == {0: "t", 1: "t"}
    assert list(more.deleted_span_ids) == ["b"]
    [rest] = outline(project, "t", cursor=more.cursor)
    assert (rest.span_count, list(rest.chunk.span_ids)) == (0, [])
    write_spans(project, a_root("u"))
    for fields, reason in (
        ({"traceId": "u", "cursor": first.cursor}, "INVALID_CURSOR"),
        ({"traceId": "t", "cursor": "zzzz"}, "INVALID_CURSOR"),
        ({"traceId": "nowhere"}, "TRACE_NOT_FOUND"),
    ):
        with pytest.raises(CallError, match=reason):
            project.send("QueryService/GetTraceOutline", **fields)


def test_search_trace_finds_strings_and_where_they_are(project: Project) -> None:
    body = {"inputs": {"list": [{"a.b": "the Needle, a needle"}]}, "metadata": {"k": "no"}}
    write_spans(
        project,
        a_root("t", 1, body),
        a_call("t", "b", 2, name="needle work"),
        a_call("t", "c", 3),
    )
    found = project.send("QueryService/SearchTrace", traceId="t", text="needle", time_limit="10s")
    assert [as_dict(match) for match in found.matches] == [
        {
            "spanId": "t",
            "path": "input.list.0.`a.b`",
            "count": "2",
            "offsets": ["4", "14"],
            "preview": "the Needle, a needle",
        },
        {"spanId": "b", "path": "name", "count": "1", "offsets": ["0"], "preview": "needle work"},
    ]
    assert found.searched_span_count == 3
    assert not found.next_page_token

    def paths(**fields: Any) -> list[str]:
        given = {"traceId": "t", "text": "needle", **fields}
        return [m.path for m in all_pages(project, "QueryService/SearchTrace", "matches", **given)]

    assert paths(page_size=1) == ["input.list.0.`a.b`", "name"]
    assert paths(time_limit="0s") == ["input.list.0.`a.b`", "name"]
    assert paths(text="Needle", match_case=True) == ["input.list.0.`a.b`"]
    assert paths(span_id="b") == ["name"]
    assert paths(text="absent") == []
    for fields, reason in (
        ({"text": ""}, "INVALID_FIELD"),
        ({"text": "x" * 1025}, "INVALID_FIELD"),
        ({"time_limit": "11s"}, "INVALID_FIELD"),
        ({"page_token": "x"}, "INVALID_PAGE_TOKEN"),
        ({"traceId": "nowhere"}, "TRACE_NOT_FOUND"),
    ):
        given = {"traceId": "t", "text": "needle", **fields}
        with pytest.raises(CallError, match=reason):
            project.send("QueryService/SearchTrace", **given)


def conversing(project: Project) -> None:
    """Conversations c (two traces) and d; the trace `alone` names none."""
    write_spans(
        project,
        a_root("t1", 1, {"inputs": "first", "user": {"id": "u"}}, session_id="c"),
        a_call("t1", "unnamed", 1, cost=0.5),
        a_root("d1", 3, {"feature_slug": "f"}, session_id="d", status="ERROR"),
        a_root("alone", 4),
        a_root("t2", 5, {"outputs": "last"}, session_id="c", agent_name="guide"),
    )


def conversations(project: Project, **conditions: Any) -> list[str]:
    page = project.send("QueryService/ListConversations", filter=conditions)
    return [summary.conversation_id for summary in page.conversations]


def test_list_conversations_by_every_condition(project: Project) -> None:
    conversing(project.direct())
    review(project, conversationId="d")
    for conditions, found in (
        ({}, ["c", "alone", "d"]),
        ({"last_activity_time_from": "1970-01-01T00:00:04Z"}, ["c", "alone"]),
        ({"last_activity_time_before": "1970-01-01T00:00:04Z"}, ["d"]),
        ({"user_id": "u"}, ["c"]),
        ({"agent_name": "guide"}, ["c"]),
        ({"model": "m"}, ["c"]),
        ({"feature": "f"}, ["d"]),
        ({"has_error": True}, ["d"]),
        ({"has_error": False}, ["c", "alone"]),
        ({"has_review": True}, ["d"]),
        ({"min_trace_count": 2}, ["c"]),
    ):
        assert conversations(project, **conditions) == found, conditions
    pages = all_pages(project, "QueryService/ListConversations", "conversations", page_size=1)
    assert [summary.conversation_id for summary in pages] == ["c", "alone", "d"]
    with pytest.raises(CallError, match="INVALID_FIELD"):
        conversations(project, min_trace_count=-1)
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        project.send("QueryService/ListConversations", page_token="x")


def test_get_conversation_sums_up_its_traces(project: Project) -> None:
    conversing(project.direct())
    got = project.send("QueryService/GetConversation", conversationId="c").conversation
    assert as_dict(got) == {
        "conversationId": "c",
        "startTime": "1970-01-01T00:00:01Z",
        "lastActivityTime": "1970-01-01T00:00:05Z",
        "traceCount": "2",
        "figures": {
            "spanCount": "3",
            "modelCallCount": "1",
            "inputTokens": "10",
            "outputTokens": "5",
            "costUsd": 0.5,
            "pricedModelCallCount": "1",
        },
        "agentNames": ["guide"],
        "models": ["m"],
        "user": {"id": "u"},
        "inputPreview": "first",
        "outputPreview": "last",
        "reviews": {},
    }
    assert project.send("QueryService/GetConversation", conversationId="alone")
    for conversation_id in ("nothing", "t1", "x" * 257):
        with pytest.raises(CallError, match="CONVERSATION_NOT_FOUND"):
            project.send("QueryService/GetConversation", conversationId=conversation_id)


def experiment(project: Project) -> str:
    made = project.send("ExperimentService/CreateExperiment", featureSlug="f", name="n")
    return str(made.id)


def test_compare_experiments_joins_runs_of_one_input(project: Project) -> None:
    first, second = experiment(project), experiment(project)

    def run(trace_id: str, start_s: int, experiment_id: str, question: str, **of: Any) -> Span:
        body = {"experiment_id": experiment_id, "inputs": question, "outputs": trace_id, **of}
        return a_root(trace_id, start_s, body)

    write_spans(
        project,
        run("new 1", 1, first, "one", ideal_output="eins"),
        run("new 2", 2, first, "two"),
        run("new 3", 3, first, "three", metadata={"datapoint_id": "row 3"}),
        run("old 1", 4, second, "one"),
        run("old 2", 5, second, "two"),
        run("old 4", 6, second, "four"),
    )
    store = project.server.running.store
    for trace_id, score in (("new 1", 0.5), ("new 2", 0.1), ("old 1", 0.5), ("old 2", 0.9)):
        result = Feedback(
            id=trace_id,
            target="trace",
            target_id=trace_id,
            trace_id=trace_id,
            type="spanloom.evaluation",
            creator="judge",
            created_ns=1,
            body={"payload": {"score": score, "label": "x"}},
        )
        project.server.run(store.write_feedback(project.name, result))
    asked = {"experimentId": first, "baselineExperimentId": second}

    def pairs(**fields: Any) -> list[tuple[str, str]]:
        cases = all_pages(
            project, "QueryService/CompareExperiments", "cases", **asked, page_size=2, **fields
        )
        return [(case.run.trace_id, case.baseline_run.trace_id) for case in cases]

    by_time = [("new 1", "old 1"), ("new 2", "old 2"), ("new 3", ""), ("", "old 4")]
    assert pairs() == by_time
    assert pairs(evaluator="judge") == [by_time[1], by_time[0], *by_time[2:]]
    cases = project.send("QueryService/CompareExperiments", **asked).cases
    assert cases[2].case_id == "row 3"
    assert as_dict(cases[0]) == {
        "caseId": cases[0].case_id,
        "inputPreview": "one",
        "expectedOutputPreview": "eins",
        "run": {
            "traceId": "new 1",
            "outputPreview": "new 1",
            "status": {"code": "STATUS_CODE_OK"},
            "duration": "2s",
            "figures": {"spanCount": "1"},
            "scores": {"judge": 0.5},
            "labels": {"judge": "x"},
        },
        "baselineRun": as_dict(cases[0].baseline_run),
    }
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        project.send("QueryService/CompareExperiments", **{**asked, "experimentId": "x"})
    with pytest.raises(CallError) as refused:
        project.send("QueryService/CompareExperiments", experimentId=first)
    assert set(refused.value.violations) == {"baselineExperimentId"}


def test_get_usage_by_bucket_and_group(project: Project) -> None:
    day = 86_400
    write_spans(
        project,
        a_root("a", 10, duration_ms=2000),
        a_call("a", "a1", 10, cost=0.5, duration_ms=1000),
        a_root("b", day + 10, duration_ms=2000),
        a_call("b", "b1", day + 10, model="other", status="ERROR", cost=0.25, duration_ms=1000),
    )
    range_ = {
        "start_time_from": "1970-01-01T00:00:00Z",
        "start_time_before": "1970-01-03T00:00:00Z",
    }
    [whole] = project.send("QueryService/GetUsage", **range_).points
    assert not whole.HasField("bucket_time")
    assert (whole.trace_count, whole.failed_trace_count) == (2, 1)
    assert (whole.figures.span_count, whole.figures.input_tokens) == (4, 20)
    assert whole.figures.cost_usd == 0.75
    assert whole.total_duration.seconds == 6
    assert whole.duration_p50.ToMilliseconds() == pytest.approx(1000, rel=0.01)
    points = project.send(
        "QueryService/GetUsage",
        **range_,
        bucket="USAGE_BUCKET_DAY",
        group_by=["USAGE_DIMENSION_MODEL"],
        max_groups=2,
    ).points
    assert [(p.bucket_time.seconds, list(p.group), p.other_groups) for p in points] == [
        (0, ["m"], False),
        (0, [], True),
        (day, ["other"], False),
        (day, [], True),
    ]
    filtered = project.send("QueryService/GetUsage", **range_, filter={"model": "m"}).points
    assert [point.figures.span_count for point in filtered] == [1]
    for fields, field in (
        ({"start_time_from": None}, "startTimeFrom"),
        ({"time_zone": "Nowhere/At_all"}, "timeZone"),
        ({"group_by": ["USAGE_DIMENSION_MODEL"] * 2}, "groupBy[1]"),
        ({"max_groups": -1}, "maxGroups"),
        ({"filter": {"environment": "e"}}, "filter.environment"),
        ({"filter": {"origin": "SPAN_ORIGIN_SPANS"}}, "filter.origin"),
        ({"filter": {"kind": "SPAN_KIND_AGENT"}}, "filter.kind"),
        ({"group_by": ["USAGE_DIMENSION_ENVIRONMENT"]}, "groupBy[0]"),
    ):
        given = {name: v for name, v in {**range_, **fields}.items() if v is not None}
        with pytest.raises(CallError) as refused:
            project.send("QueryService/GetUsage", **given)
        assert set(refused.value.violations) == {field}


def test_get_usage_by_kind(project: Project) -> None:
    write_spans(project, a_root("t", 1), a_call("t", "a", 1), a_call("t", "b", 2, kind="tool"))
    create_trace(project, id="u", name="run")

    def spans_by_kind(**conditions: Any) -> dict[str, int]:
        asked = {"group_by": ["USAGE_DIMENSION_KIND"], "filter": conditions}
        points = project.send(
            "QueryService/GetUsage", start_time_from="1970-01-01T00:00:00Z", **asked
        ).points
        return {point.group[0]: point.figures.span_count for point in points}

    kinds = ("STEP", "MODEL", "TOOL", "CONVERSATION")
    assert spans_by_kind() == {f"SPAN_KIND_{kind}": 1 for kind in kinds}
    assert spans_by_kind(kind="SPAN_KIND_TOOL") == {"SPAN_KIND_TOOL": 1}


def test_get_caller_tells_the_key_and_the_limits(project: Project) -> None:
    for role in ("ingest", "read", "review", "admin"):
        key = project.server.key(project.name, role)
        caller = Project(project.name, key, project.client, project.server)
        got = as_dict(caller.send("QueryService/GetCaller"))
        assert got["keyId"]
        assert got["keyId"] in key
        assert (got["projectId"], got["roles"]) == (project.name, [f"ROLE_{role.upper()}"])
        assert "instanceKey" not in got
        assert got["limits"]["maxResponseBytes"] == str(3 << 20)
        assert got["limits"]["cursorValidity"] == "86400s"
        assert got["serverVersion"]
    instance = Project("*", project.server.key(), project.client, project.server)
    assert instance.send("QueryService/GetCaller").instance_key


def test_list_projects_is_all_for_an_instance_key(project: Project) -> None:
    other = project.neighbour()
    own = project.send("QueryService/ListProjects").projects
    assert [found.project_id for found in own] == [project.name]
    assert own[0].create_time.seconds > 1_000_000
    instance = Project("*", project.server.key(), project.client, project.server)
    found = all_pages(instance, "QueryService/ListProjects", "projects", page_size=2)
    names = [each.project_id for each in found]
    assert {project.name, other.name} <= set(names)
    assert names == sorted(names, key=str.encode)
    assert len(names) == len(set(names))
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        project.send("QueryService/ListProjects", page_token="x")
    with pytest.raises(CallError, match="INVALID_FIELD"):
        project.send("QueryService/ListProjects", page_size=-1)
