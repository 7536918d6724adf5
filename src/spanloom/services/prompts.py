"""PromptService: what proto/spanloom/v1/prompt_service.proto promises."""

from __future__ import annotations

import math
import uuid
from typing import Any, NamedTuple

from google.protobuf import json_format

from spanloom.codec.json_path import json_path
from spanloom.errors import invalid_field, not_found
from spanloom.model import Json, PromptTag, PromptVersion
from spanloom.model.checks import Violations, possible_id
from spanloom.model.prompt_versions import PRODUCTION, PromptVersions, variables
from spanloom.services.context import CallContext
from spanloom.services.repeats import answer_once
from spanloom.store.control import ControlStore
from spanloom.store.once import Once
from spanloom.v1 import prompt_pb2, prompt_service_pb2

_TAG_IDS = uuid.UUID("2a9f4c0e-6d0b-5c43-9f5e-0d6f3c9b7a11")


# Every read of a prompt reads the texts of all its versions.
_LONGEST_TEXT = 262_144


class PromptService:
    """Prompts in and out."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def create_prompt(
        self, request: prompt_service_pb2.CreatePromptRequest, call: CallContext
    ) -> prompt_service_pb2.CreatePromptResponse:
        project = call.project()
        _check(request)
        body: dict[str, Json] = {"text": request.text, "system_text": request.system_text}
        if request.HasField("model"):
            body["model"] = json_format.MessageToDict(
                request.model, preserving_proto_field_name=True
            )
        prompt = PromptVersion(
            slug=request.slug,
            version=request.version,
            name=request.name,
            description=request.description,
            feature_slug=request.feature_slug,
            created_ns=call.received_ns,
            body=body,
        )
        tag = request.tags[0] if request.tags else ""

        def response(added: PromptVersion) -> prompt_service_pb2.CreatePromptResponse:
            return prompt_service_pb2.CreatePromptResponse(prompt=_message(added, tag))

        async def create(once: Once) -> prompt_service_pb2.CreatePromptResponse:
            await self._store.ensure_project(project)
            answering = once.answering(lambda added: response(added).SerializeToString())
            return response(
                await self._store.catalog.add_prompt_version(
                    project, prompt, list(request.tags), answering
                )
            )

        return await answer_once(
            self._store, project, request, prompt_service_pb2.CreatePromptResponse, create
        )

    async def list_prompts(
        self, request: prompt_service_pb2.ListPromptsRequest, call: CallContext
    ) -> prompt_service_pb2.ListPromptsResponse:
        found = PromptVersions.by_slug(*await self._store.catalog.prompts(call.project()))
        return prompt_service_pb2.ListPromptsResponse(
            prompts=[
                prompt_pb2.PromptSummary(**_summary(prompt))
                for prompt in found.values()
                if request.feature_slug in ("", prompt.newest.feature_slug)
            ]
        )

    async def get_prompt(
        self, request: prompt_service_pb2.GetPromptRequest, call: CallContext
    ) -> prompt_service_pb2.GetPromptResponse:
        prompt = await self._prompt(call.project(), request.slug)
        chosen = _chosen(prompt, request)
        return prompt_service_pb2.GetPromptResponse(
            warning=chosen.warning, prompt=_message(chosen.version, chosen.tag)
        )

    async def describe_prompt(
        self, request: prompt_service_pb2.DescribePromptRequest, call: CallContext
    ) -> prompt_service_pb2.DescribePromptResponse:
        prompt = await self._prompt(call.project(), request.slug)
        if request.version or request.tag or prompt.status == "live":
            chosen = _chosen(prompt, request)
        else:
            chosen = _Chosen(prompt.newest, "", None)
        body = chosen.version.body
        return prompt_service_pb2.DescribePromptResponse(
            warning=chosen.warning,
            prompt=prompt_pb2.PromptDescription(
                **_summary(prompt),
                variables=[
                    prompt_pb2.PromptVariable(label=name, type="string")
                    for name in variables(body["text"], body["system_text"])
                ],
            ),
        )

    async def publish_prompt(
        self, request: prompt_service_pb2.PublishPromptRequest, call: CallContext
    ) -> prompt_service_pb2.PublishPromptResponse:
        project = call.project()
        violations = Violations(spelled=json_path(type(request)))
        violations.check_id("new_tag", request.new_tag)
        violations.refuse()
        prompt = await self._prompt(project, request.slug)
        if request.version or request.tag:
            version = prompt.select(request.version, request.tag)
            if version is None:
                raise not_found("prompt", f"{request.slug}@{request.version or request.tag}")
        else:
            version = prompt.newest
        tag = PromptTag(slug=request.slug, label=request.new_tag, version=version.version)
        await self._store.catalog.tag_prompt(project, tag)
        # Derived from project, slug and tag, so that setting the tag again gives the same id.
        tag_id = uuid.uuid5(_TAG_IDS, "\0".join((project, request.slug, request.new_tag)))
        return prompt_service_pb2.PublishPromptResponse(
            deployment_tag=prompt_pb2.DeploymentTag(id=str(tag_id), label=request.new_tag)
        )

    async def _prompt(self, project: str, slug: str) -> PromptVersions:
        if not slug:
            raise invalid_field("slug", "is required")
        if possible_id(slug):
            found = PromptVersions.by_slug(*await self._store.catalog.prompts(project, [slug]))
            if slug in found:
                return found[slug]
        raise not_found("prompt", slug[:64])


class _Chosen(NamedTuple):
    version: PromptVersion
    tag: str
    warning: str | None


def _chosen(
    prompt: PromptVersions,
    request: prompt_service_pb2.GetPromptRequest | prompt_service_pb2.DescribePromptRequest,
) -> _Chosen:
    """The version that GetPrompt returns; prompt_service.proto states the rule."""
    version = prompt.select(request.version, request.tag)
    if version is not None:
        by_tag = prompt.tags.get(request.tag) == version.version
        return _Chosen(version, request.tag if by_tag else "", None)
    version = prompt.select_or_fall_back(request.version, request.tag)
    if version is None:
        raise not_found("prompt", f"{request.slug}@{request.version or request.tag or PRODUCTION}")
    tag = request.tag if prompt.tags.get(request.tag) == version.version else PRODUCTION
    asked = [
        f'{name} "{value}"' for name in ("version", "tag") if (value := getattr(request, name))
    ]
    warning = (
        f'No prompt found with the {asked[0]}; the version of the tag "{tag}" is returned'
        if asked
        else None
    )
    return _Chosen(version, tag, warning)


def _check(request: prompt_service_pb2.CreatePromptRequest) -> None:
    violations = Violations(spelled=json_path(type(request)))
    violations.check_id("slug", request.slug)
    if not request.text:
        violations.add("text", "is required")
    for name in ("text", "system_text"):
        if len(getattr(request, name)) > _LONGEST_TEXT:
            violations.add(name, f"must have at most {_LONGEST_TEXT} characters")
    if request.version:
        violations.check_id("version", request.version)
    for index, tag in enumerate(request.tags):
        violations.check_id(f"tags[{index}]", tag)
    for field in ("name", "description", "feature_slug"):
        violations.check_text(field, getattr(request, field))
    parameters = request.model.parameters
    if not (parameters.temperature >= 0 and math.isfinite(parameters.temperature)):
        violations.add(
            "model.parameters.temperature", "must be a finite number that is not negative"
        )
    if parameters.max_length < 0:
        violations.add("model.parameters.max_length", "must not be negative")
    violations.refuse()


def _summary(prompt: PromptVersions) -> dict[str, Any]:
    newest = prompt.newest
    return {
        "slug": newest.slug,
        "name": newest.name,
        "status": prompt.status,
        "description": newest.description,
        "available_versions": [version.version for version in prompt.versions],
        "available_tags": list(prompt.tags),
    }


def _message(version: PromptVersion, tag: str) -> prompt_pb2.Prompt:
    """The version as clients need it: with every field that they read without a check for
    presence."""
    message = prompt_pb2.Prompt(
        text=version.body["text"],
        system_text=version.body["system_text"],
        version=version.version,
        tag=tag,
        slug=version.slug,
    )
    json_format.ParseDict(version.body.get("model", {}), message.model)
    message.model.version = message.model.version or "latest"
    parameters = message.model.parameters
    parameters.response_format = parameters.response_format or "text"
    if not parameters.HasField("top_p"):
        parameters.top_p = 1.0
    parameters.SetInParent()
    return message
