"""`Catalog` on a relational database."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import BigInteger, Connection, delete, literal, select, tuple_, update

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import EVALUATION, Evaluator, Experiment, PromptTag, PromptVersion
from spanloom.store.catalog import Catalog
from spanloom.store.once import EACH_TIME, Once
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.database import Database
from spanloom.store.sql.requests import done_once
from spanloom.store.sql.rows import NUMBERED_LATER, checked, json_text
from spanloom.store.sql.tables import (
    evaluations,
    evaluators,
    experiments,
    feedback,
    is_text,
    prompt_tags,
    prompt_versions,
    traces,
)
from spanloom.store.sql.transaction import Transaction

_NUMBERED = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class SqlCatalog(Catalog):
    """Experiments, prompts and evaluators in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._database = connections.database
        self._read, self._write = connections.read, connections.write

    # Experiments

    async def create_experiment(
        self, project: str, experiment: Experiment, once: Once = EACH_TIME
    ) -> None:
        texts = checked(
            project=project,
            id=experiment.id,
            name=experiment.name,
            feature_slug=experiment.feature_slug,
        )
        row = [*texts.values(), experiment.created_ns]
        await self._write(done_once(project, once, lambda t: t.write({experiments: [row]})))

    async def experiment(self, project: str, experiment_id: str) -> Experiment | None:
        checked(project=project, id=experiment_id)
        query = _experiments(project).where(experiments.c.id == experiment_id)
        found = await self._read(lambda c: c.execute(query).first())
        return _to_experiment(found) if found else None

    async def list_experiments(
        self,
        project: str,
        *,
        feature_slug: str = "",
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> list[Experiment]:
        checked(project=project, feature_slug=feature_slug)
        columns = (experiments.c.created_ns, experiments.c.id)
        query = _experiments(project)
        if feature_slug:
            query = query.where(experiments.c.feature_slug == feature_slug)
        if after is not None:
            checked(id=after[1])
            query = query.where(
                tuple_(*columns) < tuple_(literal(after[0], BigInteger), literal(after[1]))
            )
        query = query.order_by(*(column.desc() for column in columns)).limit(limit)
        return await self._read(lambda c: [_to_experiment(row) for row in c.execute(query)])

    async def experiment_results(
        self, project: str, experiment: Experiment
    ) -> list[tuple[str, str | None, float | None]]:
        label = self._database.json(feedback.c.body, ["payload", "label"]).text
        score = self._database.json(feedback.c.body, ["payload", "score"]).number
        query = (
            select(feedback.c.creator, label, score)
            .select_from(traces)
            .join(
                feedback,
                (feedback.c.project == traces.c.project)
                & (feedback.c.trace_id == traces.c.trace_id),
            )
            .where(
                traces.c.project == project,
                is_text(traces.c.experiment_id, experiment.id),
                traces.c.feature_slug == experiment.feature_slug,
                feedback.c.type == EVALUATION,
            )
        )
        return await self._read(lambda c: [tuple(row) for row in c.execute(query)])

    # Prompts

    async def add_prompt_version(
        self,
        project: str,
        prompt: PromptVersion,
        labels: Sequence[str] = (),
        once: Once = EACH_TIME,
    ) -> PromptVersion:
        texts = {
            name: getattr(prompt, name)
            for name in ("slug", "version", "name", "description", "feature_slug")
        }
        checked(project=project, **texts)
        for label in labels:
            checked(label=label)
        body = json_text(prompt.body)

        def write(transaction: Transaction) -> PromptVersion | SpanloomError:
            found = transaction.connection.execute(
                _prompt_versions(self._database, project, [prompt.slug])
            )
            before = [_to_prompt_version(row) for row in found]
            added = _completed(prompt, before)
            same = next((v for v in before if v.version == added.version), None)
            if same is not None and json_text(same.body) != body:
                return _version_exists(added)
            if same is None:
                texts = (added.slug, added.version, added.name, added.description)
                row = [project, *texts, added.feature_slug, added.created_ns, body]
                transaction.write({prompt_versions: [row]})
            tags = [[project, added.slug, label, NUMBERED_LATER, added.version] for label in labels]
            transaction.write({prompt_tags: tags})
            return same or added

        return await self._write(done_once(project, once, write))  # type: ignore[no-any-return]

    async def prompts(
        self, project: str, slugs: Iterable[str] | None = None
    ) -> tuple[list[PromptVersion], list[PromptTag]]:
        checked(project=project)
        wanted = None if slugs is None else list(slugs)
        for slug in wanted or ():
            checked(slug=slug)
        tags = (
            select(prompt_tags.c.slug, prompt_tags.c.label, prompt_tags.c.prompt_version)
            .where(prompt_tags.c.project == project)
            .order_by(prompt_tags.c.slug, prompt_tags.c.label)
        )
        if wanted is not None:
            tags = tags.where(self._database.among(prompt_tags.c.slug, wanted))
        versions = _prompt_versions(self._database, project, wanted)

        def run(
            connection: Connection,
        ) -> tuple[list[PromptVersion], list[PromptTag]]:
            return (
                [_to_prompt_version(row) for row in connection.execute(versions)],
                [
                    PromptTag(slug=slug, label=label, version=version)
                    for slug, label, version in connection.execute(tags)
                ],
            )

        return await self._read(run)

    async def tag_prompt(self, project: str, tag: PromptTag) -> None:
        checked(project=project, slug=tag.slug, label=tag.label, version=tag.version)
        row = [project, tag.slug, tag.label, NUMBERED_LATER, tag.version]
        await self._write(lambda t: t.write({prompt_tags: [row]}))

    # Evaluators

    async def register_evaluator(self, project: str, evaluator: Evaluator) -> None:
        checked(project=project, slug=evaluator.slug, kind=evaluator.kind)
        row = [
            project,
            evaluator.slug,
            NUMBERED_LATER,
            evaluator.kind,
            evaluator.created_ns,
            json_text(evaluator.body),
        ]
        wake = (
            update(evaluations)
            .where(evaluations.c.project == project, evaluations.c.evaluator == evaluator.slug)
            .values(due_ns=time.time_ns(), owner="", attempts=0)
        )

        def write(transaction: Transaction) -> None:
            transaction.write({evaluators: [row]})
            transaction.connection.execute(wake)

        await self._write(write)

    async def evaluators(self, project: str, slugs: Iterable[str] | None = None) -> list[Evaluator]:
        checked(project=project)
        query = (
            select(evaluators.c.slug, evaluators.c.kind, evaluators.c.created_ns, evaluators.c.body)
            .where(evaluators.c.project == project)
            .order_by(evaluators.c.slug)
        )
        if slugs is not None:
            wanted = list(slugs)
            for slug in wanted:
                checked(slug=slug)
            query = query.where(self._database.among(evaluators.c.slug, wanted))
        found = await self._read(lambda c: c.execute(query).fetchall())
        return [
            Evaluator(slug=slug, kind=kind, created_ns=created_ns, body=orjson.loads(body))
            for slug, kind, created_ns, body in found
        ]

    async def delete_evaluator(self, project: str, slug: str) -> bool:
        checked(project=project, slug=slug)
        statement = delete(evaluators).where(
            evaluators.c.project == project, evaluators.c.slug == slug
        )
        return bool(await self._write(lambda t: t.connection.execute(statement).rowcount))


def _experiments(project: str) -> Any:
    columns = (c for c in experiments.c if c.name != "project")
    return select(*columns).where(experiments.c.project == project)


def _to_experiment(row: Sequence[Any]) -> Experiment:
    return Experiment(id=row[0], name=row[1], feature_slug=row[2], created_ns=row[3])


def _prompt_versions(database: Database, project: str, slugs: Sequence[str] | None) -> Any:
    columns = prompt_versions.c
    query = select(*(c for c in columns if c.name != "project")).where(columns.project == project)
    if slugs is not None:
        query = query.where(database.among(columns.slug, slugs))
    return query.order_by(columns.slug, columns.created_ns.desc(), columns.prompt_version.desc())


def _to_prompt_version(row: Sequence[Any]) -> PromptVersion:
    return PromptVersion(
        slug=row[0],
        version=row[1],
        name=row[2],
        description=row[3],
        feature_slug=row[4],
        created_ns=row[5],
        body=orjson.loads(row[6]),
    )


def _completed(prompt: PromptVersion, before: Sequence[PromptVersion]) -> PromptVersion:
    """With what was left out: from the newest version before (the first), else the default."""
    newest = before[0] if before else PromptVersion(slug=prompt.slug, version="", name=prompt.slug)
    return PromptVersion(
        slug=prompt.slug,
        version=prompt.version or _next_version({v.version for v in before}),
        name=prompt.name or newest.name,
        description=prompt.description or newest.description,
        feature_slug=prompt.feature_slug or newest.feature_slug,
        # In the order of their making, whatever the clock does.
        created_ns=max(prompt.created_ns, newest.created_ns + 1),
        body=prompt.body,
    )


def _next_version(taken: set[str]) -> str:
    """One more in the second place than the highest; names that are not three numbers do not
    count."""
    numbers = [tuple(map(int, m.groups())) for v in taken if (m := _NUMBERED.fullmatch(v))]
    if not numbers:
        return "1.0.0"
    major, minor, _ = max(numbers)
    return f"{major}.{minor + 1}.0"


def _version_exists(prompt: PromptVersion) -> SpanloomError:
    return SpanloomError(
        Code.ALREADY_EXISTS,
        Reason.PROMPT_VERSION_EXISTS,
        f"the prompt {prompt.slug!r} already has a version {prompt.version!r} with different"
        " content; versions cannot be changed",
        metadata={"slug": prompt.slug, "version": prompt.version},
    )
