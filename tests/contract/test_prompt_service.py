"""PromptService, by its promises in proto/spanloom/v1/prompt_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.adapters.basalt.references import PROMPT_NOT_FOUND
from tests.clients import CallError
from tests.contract.calls import as_dict, create_trace, get_trace
from tests.contract.conftest import Project


def create(project: Project, slug: str = "qa", text: str = "Hello {{ name }}", **more: Any) -> Any:
    return project.send("PromptService/CreatePrompt", slug=slug, text=text, **more).prompt


def get(project: Project, slug: str = "qa", **which: str) -> Any:
    return project.send("PromptService/GetPrompt", slug=slug, **which)


def publish(project: Project, slug: str = "qa", **fields: str) -> Any:
    return project.send("PromptService/PublishPrompt", slug=slug, **fields).deployment_tag


def test_create_prompt_makes_what_get_prompt_gives_back(project: Project) -> None:
    model = {
        "provider": "open-ai",
        "model": "gpt-4o",
        "version": "latest",
        "parameters": {
            "temperature": 0.5,
            "topP": 0.9,
            "maxLength": 100,
            "responseFormat": "json",
            "jsonObject": {"type": "object"},
            "tools": {"tools": [{"name": "f"}], "toolChoice": {"name": "f"}},
        },
    }
    create(project, version="1.2.0", systemText="Be {{tone}}", tags=["production"], model=model)
    answer = as_dict(get(project))
    assert answer == {
        "prompt": {
            "slug": "qa",
            "text": "Hello {{ name }}",
            "systemText": "Be {{tone}}",
            "version": "1.2.0",
            "model": model,
            # Found because it is the production version, by no tag of the request's.
            **({"tag": "production"} if "tag" in answer["prompt"] else {}),
        }
    }


def test_create_prompt_numbers_versions_which_never_change(project: Project) -> None:
    assert [create(project, text=f"t{n}").version for n in range(3)] == ["1.0.0", "1.1.0", "1.2.0"]
    assert create(project, version="3.0.5", text="x").version == "3.0.5"
    assert create(project, text="y").version == "3.1.0"
    assert create(project, version="3.0.5", text="x").version == "3.0.5"
    with pytest.raises(CallError) as refused:
        create(project, version="3.0.5", text="other")
    assert (refused.value.code, refused.value.reason) == (
        "ALREADY_EXISTS",
        "PROMPT_VERSION_EXISTS",
    )
    assert get(project, version="3.0.5").prompt.text == "x"


def test_create_prompt_names_every_bad_field(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        create(project, slug="", text="", tags=[""], model={"parameters": {"temperature": -1}})
    assert set(refused.value.violations) == {
        "slug",
        "text",
        "tags[0]",
        "model.parameters.temperature",
    }


def test_list_prompts_shows_a_prompt_without_a_production_version_as_a_draft(
    project: Project,
) -> None:
    create(project)
    with pytest.raises(CallError, match="PROMPT_NOT_FOUND"):
        get(project)
    assert get(project, version="1.0.0").prompt.text == "Hello {{ name }}"
    listed = project.send("PromptService/ListPrompts").prompts
    assert [(p.slug, p.name, p.status) for p in listed] == [("qa", "qa", "draft")]
    publish(project, new_tag="production")
    assert get(project).prompt.version == "1.0.0"
    listed = project.send("PromptService/ListPrompts").prompts
    assert [p.status for p in listed] == ["live"]


def test_get_prompt_falls_back_to_production_with_a_warning(project: Project) -> None:
    create(project, tags=["production"])
    create(project, text="second")
    for which in ({"version": "9.9.9"}, {"tag": "nope"}):
        answer = get(project, **which)
        assert answer.prompt.version == "1.0.0"
        assert answer.warning
    for which in ({}, {"tag": "production"}, {"version": "1.1.0"}):
        assert not get(project, **which).HasField("warning")
    with pytest.raises(CallError) as refused:
        get(project, "unknown")
    assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "PROMPT_NOT_FOUND")


def test_publish_prompt_moves_tags_which_keep_their_id(project: Project) -> None:
    create(project)
    create(project, text="second")
    first = publish(project, new_tag="staging", version="1.0.0")
    assert first.label == "staging"
    assert get(project, tag="staging").prompt.version == "1.0.0"
    moved = publish(project, new_tag="staging")
    assert moved.id == first.id
    assert get(project, tag="staging").prompt.version == "1.1.0"
    publish(project, new_tag="production", tag="staging")
    assert get(project).prompt.version == "1.1.0"
    with pytest.raises(CallError, match="PROMPT_NOT_FOUND"):
        publish(project, new_tag="x", version="9.9.9")
    with pytest.raises(CallError) as refused:
        publish(project)
    assert set(refused.value.violations) == {"newTag"}


def test_describe_prompt_names_the_variables(project: Project) -> None:
    create(
        project,
        text="{{ b }} {{a|upper}} {{ b.c }} {% if d %}",
        systemText="{{-e}}",
        name="QA",
        description="answers",
        featureSlug="bot",
    )
    found = project.send("PromptService/DescribePrompt", slug="qa").prompt
    assert [(v.label, v.type) for v in found.variables] == [
        ("b", "string"),
        ("a", "string"),
        ("e", "string"),
    ]
    assert (found.name, found.description, found.status) == ("QA", "answers", "draft")
    assert list(found.available_versions) == ["1.0.0"]
    for slug, count in (("bot", 1), ("other", 0), ("", 1)):
        assert len(project.send("PromptService/ListPrompts", feature_slug=slug).prompts) == count


def test_create_trace_keeps_a_prompt_as_the_generation_named_it(project: Project) -> None:
    create(project, version="1.2.0", tags=["production"])
    prompts: list[dict[str, str]] = [
        {"slug": "qa"},
        {"slug": "qa", "tag": "production"},
        {"slug": "none", "version": "1"},
    ]
    logs = [{"id": str(n), "type": "generation", "prompt": p} for n, p in enumerate(prompts)]
    create_trace(project, id="t", logs=logs)
    found = [as_dict(log.prompt) for log in get_trace(project, "t").logs]
    assert found == prompts


def test_create_trace_warns_of_prompts_that_do_not_resolve(project: Project) -> None:
    create(project, version="1.2.0")

    def warning(**prompt: str) -> str | None:
        log = {"id": "g", "type": "generation", "prompt": prompt}
        answer = create_trace(project, logs=[log])
        return answer.warning if answer.HasField("warning") else None

    assert warning(slug="qa", version="1.2.0") is None
    assert warning(slug="qa") == PROMPT_NOT_FOUND
    assert warning(slug="qa", version="9") == PROMPT_NOT_FOUND
    assert warning(slug="none") == PROMPT_NOT_FOUND
    publish(project, new_tag="production")
    assert warning(slug="qa") is None
    # A version that is not there falls back to production, as GetPrompt would have given it.
    assert warning(slug="qa", version="9", tag="nope") is None
