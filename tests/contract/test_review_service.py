"""ReviewService over every transport."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import as_dict, create_feedback, create_trace, query_feedback
from tests.contract.conftest import Project

EVALUATION = "spanloom.evaluation"


def write(project: Project, review_id: str = "r", **fields: Any) -> dict[str, Any]:
    given = {"target": {"traceId": "t"}, "name": "helpfulness", "score": 1, **fields}
    review = {"reviewId": review_id, **given}
    return as_dict(project.send("ReviewService/WriteReview", review=review).review)


def listed(project: Project, **fields: Any) -> list[str]:
    return [r.review_id for r in project.send("ReviewService/ListReviews", **fields).reviews]


def test_write_review_stores_what_was_sent(project: Project) -> None:
    given: dict[str, Any] = {
        "target": {"traceId": "t", "spanId": "s"},
        "score": 0.25,
        "label": "off-topic",
        "comment": "it wanders",
        "author": "Ada",
        "source": "REVIEW_SOURCE_PROGRAM",
        "metadata": {"page": 3, "nested": {"a": [1, "b"]}},
    }
    written = write(project, **given)
    time = written.pop("createTime")
    assert written == {"reviewId": "r", "name": "helpfulness", **given}
    [read] = project.send("ReviewService/ListReviews").reviews
    assert as_dict(read) == {**written, "createTime": time}


def test_write_review_replaces_and_keeps_the_time(project: Project) -> None:
    first = write(project, score=1)
    again = write(project, score=0, name="accuracy")
    assert again["score"] == 0
    assert again["createTime"] == first["createTime"]
    assert again["source"] == "REVIEW_SOURCE_PERSON"
    assert listed(project) == ["r"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": EVALUATION}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"score": None, "label": ""}, "score"),
        ({"score": "NaN"}, "score"),
        ({"label": "x" * 257}, "label"),
        ({"comment": "x" * 10_001}, "comment"),
        ({"target": {"spanId": "s"}}, "target.traceId"),
        ({"target": {"traceId": "t", "conversationId": "c"}}, "target.conversationId"),
        ({"target": {}}, "target"),
        ({"source": "REVIEW_SOURCE_EVALUATOR"}, "source"),
    ],
)
def test_write_review_names_what_is_wrong(
    project: Project, fields: dict[str, Any], field: str
) -> None:
    given = {name: value for name, value in fields.items() if value is not None}
    review = {"reviewId": "r", "target": {"traceId": "t"}, "name": "n", "score": 1, **given}
    if fields.get("score", 1) is None:
        del review["score"]
    with pytest.raises(CallError) as refused:
        project.send("ReviewService/WriteReview", review=review)
    assert refused.value.reason == "INVALID_FIELD"
    assert {v.removeprefix("review.") for v in refused.value.violations} == {field}
    assert listed(project) == []


def test_feedback_of_the_other_api_is_a_review(project: Project) -> None:
    ref = f"weave:///e/{project.name}/agent_turn/t"
    create_feedback(project, id="note", weave_ref=ref, creator="Ada")
    create_feedback(
        project,
        id="thumb",
        weave_ref=f"weave:///e/{project.name}/agent_conversation/c",
        feedback_type="wandb.reaction.1",
        payload={"emoji": "👎"},
    )
    reviews = {r.review_id: r for r in project.send("ReviewService/ListReviews").reviews}
    note, thumb = reviews["note"], reviews["thumb"]
    assert (note.name, note.comment, note.author) == ("wandb.note.1", "n", "Ada")
    assert note.target.trace_id == "t"
    assert as_dict(note)["metadata"] == {"payload": {"note": "n"}}
    assert not note.HasField("score")
    assert thumb.score == 0
    assert thumb.HasField("score")
    assert thumb.target.conversation_id == "c"


def test_a_review_is_feedback_of_the_other_api(project: Project) -> None:
    write(project, comment="fine", author="Ada")
    [feedback] = query_feedback(project)
    assert (feedback.id, feedback.feedback_type, feedback.creator) == ("r", "helpfulness", "Ada")
    assert as_dict(feedback)["payload"] == {"score": 1, "comment": "fine"}
    assert feedback.weave_ref.endswith("/agent_turn/t")


def evaluated(project: Project) -> str:
    """The id of the result of an evaluator on the trace `t`."""
    from spanloom.model import Feedback

    result = Feedback(
        id="result",
        target="trace",
        target_id="t",
        trace_id="t",
        type=EVALUATION,
        creator="judge",
        created_ns=5 * 10**9,
        body={"payload": {"score": 0.5, "label": "fair"}},
    )
    store = project.server.running.store
    project.server.run(store.write_feedback(project.name, result))
    return result.id


def test_write_review_does_not_replace_the_result_of_an_evaluator(project: Project) -> None:
    review_id = evaluated(project)
    with pytest.raises(CallError) as refused:
        write(project, review_id)
    assert {v.removeprefix("review.") for v in refused.value.violations} == {"reviewId"}
    [review] = project.send("ReviewService/ListReviews").reviews
    assert (review.name, review.author, review.score) == ("judge", "judge", 0.5)
    assert as_dict(review)["source"] == "REVIEW_SOURCE_EVALUATOR"


def test_list_reviews_by_every_condition(project: Project) -> None:
    create_trace(project, id="t", logs=[{"id": "g", "type": "generation"}])
    write(project, "on trace", author="Ada")
    write(project, "on span", target={"traceId": "t", "spanId": "g"}, name="tone")
    write(project, "on another", target={"traceId": "u", "spanId": "g"})
    write(project, "on conversation", target={"conversationId": "c"})
    write(project, "by program", target={"traceId": "v"}, source="REVIEW_SOURCE_PROGRAM")
    result = evaluated(project)
    ref = f"weave:///e/{project.name}/agent_span/g"
    create_feedback(project, id="unplaced", weave_ref=ref)
    for conditions, found in (
        ({"trace_ids": ["t"]}, {"on trace", "on span", result, "unplaced"}),
        ({"trace_ids": ["t", "u"]}, {"on trace", "on span", "on another", result, "unplaced"}),
        ({"trace_ids": ["t"], "span_id": "g"}, {"on span", "unplaced"}),
        ({"conversation_id": "c"}, {"on conversation"}),
        ({"name": "tone"}, {"on span"}),
        ({"name": "judge"}, {result}),
        ({"author": "Ada"}, {"on trace"}),
        ({"source": "REVIEW_SOURCE_EVALUATOR"}, {result}),
        ({"source": "REVIEW_SOURCE_PROGRAM"}, {"by program"}),
        ({"create_time_before": "1970-01-01T00:01:00Z"}, {result}),
        (
            {"create_time_from": "1970-01-01T00:01:00Z", "trace_ids": ["t"]},
            {"on trace", "on span", "unplaced"},
        ),
        ({"name": "nothing"}, set()),
    ):
        assert set(listed(project, **conditions)) == found, conditions


def test_list_reviews_by_pages(project: Project) -> None:
    for number in range(7):
        write(project, f"r{number}")
    everything = listed(project)
    assert len(everything) == 7
    found: list[str] = []
    token = ""
    while True:
        page = project.send("ReviewService/ListReviews", page_size=3, page_token=token)
        assert len(page.reviews) <= 3
        found += [review.review_id for review in page.reviews]
        token = page.next_page_token
        if not token:
            break
    assert found == everything
    first = project.send("ReviewService/ListReviews", page_size=3).next_page_token
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        project.send("ReviewService/ListReviews", name="other", page_token=first)
    for fields in ({"page_size": -1}, {"span_id": "s"}, {"trace_ids": ["t"] * 101}):
        with pytest.raises(CallError, match="INVALID_FIELD"):
            project.send("ReviewService/ListReviews", **fields)


def test_a_page_of_reviews_is_at_most_3_mib(project: Project) -> None:
    for number in range(5):
        write(project, f"r{number}", metadata={"text": "x" * 900_000})
    page = project.send("ReviewService/ListReviews")
    assert page.ByteSize() <= 3 << 20
    assert len(page.reviews) == 3
    rest = project.send("ReviewService/ListReviews", page_token=page.next_page_token)
    assert len(rest.reviews) == 2


def test_delete_review_deletes_also_the_result_of_an_evaluator(project: Project) -> None:
    write(project)
    result = evaluated(project)
    for review_id in ("r", result):
        project.send("ReviewService/DeleteReview", reviewId=review_id)
    assert listed(project) == []
    with pytest.raises(CallError, match="REVIEW_NOT_FOUND"):
        project.send("ReviewService/DeleteReview", reviewId="r")
    project.send("ReviewService/DeleteReview", reviewId="r", allowMissing=True)


def test_the_role_review_writes_reviews_and_reads_all(project: Project) -> None:
    key = project.server.key(project.name, "review")
    reviewer = Project(project.name, key, project.client, project.server)
    write(reviewer)
    assert listed(reviewer) == ["r"]
    reviewer.send("TraceService/ListTraces")
    reviewer.send("ReviewService/DeleteReview", reviewId="r")
    for method, fields in (
        ("TraceService/CreateTrace", {"trace": {"id": "t"}}),
        ("TraceService/DeleteTrace", {"traceId": "t"}),
    ):
        with pytest.raises(CallError, match="ROLE_NOT_ALLOWED"):
            reviewer.send(method, **fields)
