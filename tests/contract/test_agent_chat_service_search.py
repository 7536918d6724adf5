"""AgentChatService: SearchMessages, by its promises in its proto file."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.model import Span
from tests.clients import CallError
from tests.contract.calls import found_messages, model_call, search_messages, write_spans
from tests.contract.conftest import Project
from tests.parts import parts


def test_search_messages_finds_messages_by_their_text(project: Project) -> None:
    body = {"metadata": {"note": "only in metadata"}}
    write_spans(
        project,
        model_call("a", "1", 1, "Où est la gare?", 'Rue "de\n Lyon"\\1', session_id="c", body=body),
        model_call("a", "2", 2, "Merci 😀", "De rien", session_id="c"),
        model_call("b", "3", 3, "OÙ?", "Là"),
    )
    assert found_messages(project, "Où est") == [("user", "Où est la gare?")]
    assert found_messages(project, "où") == []
    assert found_messages(project, '"de\n Lyon"\\') == [("assistant", 'Rue "de\n Lyon"\\1')]
    assert found_messages(project, "😀") == [("user", "Merci 😀")]
    assert found_messages(project, "only in metadata") == []
    assert found_messages(project, "%") == []
    assert found_messages(project, "\0") == []
    everything = search_messages(project)
    assert [r.conversation_id for r in everything.results] == ["b", "c"]
    assert everything.total_conversations == 2
    assert [m.span_id for m in everything.results[1].matched_messages] == ["2", "2", "1", "1"]
    assert everything.results[1].last_activity.seconds == 2


def test_search_messages_finds_text_inside_json_inside_json(project: Project) -> None:
    body = {
        "tool": {
            "name": "search",
            "arguments": '{"q": "\\u00e9t\\u00e9", "n": [1, 2]}',
            "result": "3 hits",
        }
    }
    tool = Span(
        trace_id="t",
        span_id="s",
        event_id="s",
        session_id="t",
        start_ns=1,
        operation="execute_tool",
        kind="tool",
        **parts(body),
    )
    write_spans(project, tool)
    assert [role for role, _ in found_messages(project, "été")] == ["tool_call"]
    assert found_messages(project, "3 hits") == [("tool_result", "3 hits")]
    assert [role for role, _ in found_messages(project, roles=["tool"])] == [
        "tool_call",
        "tool_result",
    ]
    assert found_messages(project, roles=["user", "assistant"]) == []


def test_search_messages_selects_by_role_agent_model_provider_trace_and_time(
    project: Project,
) -> None:
    write_spans(
        project,
        model_call("a", "1", 1, "q", "one", agent_name="Ada", model="m1", provider="OpenAI"),
        model_call("b", "2", 2, "q", "two", agent_name="Bob", model="m2", session_id="c"),
        model_call(
            "b", "3", 3, "q", "three", body={"system_instructions": "Be kind."}, session_id="c"
        ),
    )

    def answers(**fields: Any) -> set[str]:
        return {text for _, text in found_messages(project, roles=["assistant"], **fields)}

    assert answers() == {"one", "two", "three"}
    assert answers(agent_name="Ada") == {"one"}
    assert answers(request_model="m2") == {"two"}
    assert answers(provider_name="openai") == {"one"}
    assert answers(trace_id="b") == {"two", "three"}
    assert answers(conversation_id="c") == {"two", "three"}
    assert answers(started_after="1970-01-01T00:00:02Z") == {"two", "three"}
    assert answers(started_before="1970-01-01T00:00:02Z") == {"one"}
    assert answers(agent_name="Nobody") == set()
    assert found_messages(project, roles=["system"]) == [("system", "Be kind.")]
    # What a trace says twice is found once, where it was said last.
    assert found_messages(project, roles=["user"], trace_id="b") == [("user", "q")]


def test_search_messages_finds_a_repeated_history_once(project: Project) -> None:
    history = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "second"},
    ]
    write_spans(project, model_call("t", "s", 1, "x", body={"input_messages": history}))
    assert found_messages(project) == [("user", "second"), ("assistant", "x")]


def test_search_messages_pages_by_message_and_cuts_at_500_characters(project: Project) -> None:
    write_spans(
        project, *(model_call(f"t{n:03}", "s", n, f"q{n}", "x" * 600 + str(n)) for n in range(250))
    )
    assert len(found_messages(project)) == 20
    pages = [
        found_messages(project, roles=["user"], limit=100, offset=offset)
        for offset in (0, 100, 200)
    ]
    assert [text for page in pages for _, text in page] == [f"q{n}" for n in reversed(range(250))]
    assert {len(text) for _, text in found_messages(project, "x", limit=5)} == {500}
    (_, whole), *_ = found_messages(project, "x", truncate_content=False)
    assert whole == "x" * 600 + "249"
    assert found_messages(project, limit=0) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"roles": ["user", "nobody"]}, "roles[1]"),
        ({"limit": 1001}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 10_001}, "offset"),
    ],
)
def test_search_messages_names_a_bad_field(
    project: Project, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        search_messages(project, **fields)
    assert set(refused.value.violations) == {named}
