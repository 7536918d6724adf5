"""EvaluatorService: what proto/spanloom/v1/evaluator_service.proto promises."""

from __future__ import annotations

from spanloom.codec.json_fields import put_json
from spanloom.codec.struct_reader import struct_object
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import invalid_field, not_found
from spanloom.evaluation.kinds import SettingError, checked_settings, kinds, version
from spanloom.model import Evaluator
from spanloom.model.checks import Violations, possible_id
from spanloom.services.context import CallContext
from spanloom.store.control import ControlStore
from spanloom.v1 import evaluator_pb2, evaluator_service_pb2


class EvaluatorService:
    """The evaluators of a project."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def create_evaluator(
        self, request: evaluator_service_pb2.CreateEvaluatorRequest, call: CallContext
    ) -> evaluator_service_pb2.CreateEvaluatorResponse:
        project = call.project()
        evaluator = _read(request.evaluator, call.received_ns)
        await self._store.ensure_project(project)
        await self._store.catalog.register_evaluator(project, evaluator)
        return evaluator_service_pb2.CreateEvaluatorResponse(evaluator=_message(evaluator))

    async def list_evaluators(
        self, request: evaluator_service_pb2.ListEvaluatorsRequest, call: CallContext
    ) -> evaluator_service_pb2.ListEvaluatorsResponse:
        found = await self._store.catalog.evaluators(call.project())
        return evaluator_service_pb2.ListEvaluatorsResponse(
            evaluators=[_message(evaluator) for evaluator in found]
        )

    async def delete_evaluator(
        self, request: evaluator_service_pb2.DeleteEvaluatorRequest, call: CallContext
    ) -> evaluator_service_pb2.DeleteEvaluatorResponse:
        project, slug = call.project(), request.slug
        if not slug:
            raise invalid_field("slug", "is required")
        if not possible_id(slug) or not await self._store.catalog.delete_evaluator(project, slug):
            raise not_found("evaluator", slug[:64])
        return evaluator_service_pb2.DeleteEvaluatorResponse()


def _read(message: evaluator_pb2.Evaluator, created_ns: int) -> Evaluator:
    violations = Violations("evaluator.")
    violations.check_id("slug", message.slug)
    settings = struct_object(message.settings) if message.HasField("settings") else {}
    violations.check_word("kind", message.kind, tuple(kinds()))
    if message.kind in kinds():
        try:
            settings = checked_settings(kinds()[message.kind], settings)
        except SettingError as error:
            violations.add(f"settings.{error.name}", error.problem)
    violations.refuse()
    return Evaluator(slug=message.slug, kind=message.kind, created_ns=created_ns, body=settings)


def _message(evaluator: Evaluator) -> evaluator_pb2.Evaluator:
    message = evaluator_pb2.Evaluator(
        slug=evaluator.slug,
        kind=evaluator.kind,
        version=version(evaluator.kind, evaluator.body),
        created_at=timestamp_from_ns(evaluator.created_ns),
    )
    put_json(message, {"settings": dict(evaluator.body)})
    return message
