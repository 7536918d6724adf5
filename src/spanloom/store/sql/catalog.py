"""What a project keeps beside its traces: experiments, prompts, evaluators."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import BigInteger, Connection, delete, literal, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import EVALUATION, Evaluator, Experiment, PromptTag, PromptVersion
from spanloom.store.sql.dialect import Database
from spanloom.store.sql.readers import Readers
from spanloom.store.sql.rows import check_texts, json_text
from spanloom.store.sql.tables import (
    evaluations,
    evaluators,
    experiments,
    feedback,
    prompt_tags,
    prompt_versions,
    traces,
)
from spanloom.store.sql.versions import Versions
from spanloom.store.sql.writer import Writer

_NUMBERED = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Catalog:
    """Experiments, prompts and evaluators. Every sentence that `Store` promises holds here too."""

    _database: Database
    _read: Readers
    _writer: Writer
    _versions: Versions

    # Experiments

    async def create_experiment(self, project: str, experiment: Experiment) -> None:
        """Store an experiment; of one id the first stays."""
        check_texts(
            "",
            {
                "project": project,
                "id": experiment.id,
                "name": experiment.name,
                "feature_slug": experiment.feature_slug,
            },
        )
        row = (
            project,
            experiment.id,
            experiment.name,
            experiment.feature_slug,
            experiment.created_ns,
        )
        await self._writer.write({experiments: [row]})

    async def experiment(self, project: str, experiment_id: str) -> Experiment | None:
        """The experiment with this id."""
        check_texts("", {"project": project, "id": experiment_id})
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
        """Experiments (of one feature), the newest first, ties by id descending; `after` is (created_ns, id) of the last seen."""
        check_texts("", {"project": project, "feature_slug": feature_slug})
        columns = (experiments.c.created_ns, experiments.c.id)
        query = _experiments(project)
        if feature_slug:
            query = query.where(experiments.c.feature_slug == feature_slug)
        if after is not None:
            check_texts("", {"id": after[1]})
            query = query.where(
                tuple_(*columns) < tuple_(literal(after[0], BigInteger), literal(after[1]))
            )
        query = query.order_by(*(column.desc() for column in columns)).limit(limit)
        return await self._read(lambda c: [_to_experiment(row) for row in c.execute(query)])

    async def experiment_results(
        self, project: str, experiment: Experiment
    ) -> list[tuple[str, str | None, float | None]]:
        """(evaluator, label, score) of every result on the traces of the experiment's feature that name it."""
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
                traces.c.experiment_id == experiment.id,
                traces.c.feature_slug == experiment.feature_slug,
                feedback.c.type == EVALUATION,
            )
        )
        return await self._read(lambda c: [tuple(row) for row in c.execute(query)])

    # Prompts

    async def add_prompt_version(
        self, project: str, prompt: PromptVersion, labels: Sequence[str] = ()
    ) -> PromptVersion:
        """Store a version and point the tags at it; what was stored.

        With version "" it is given the next one. Name, description and feature that are "" are those of the newest version
        before. The same version with the same body again only sets the tags; with another body ALREADY_EXISTS.
        """
        texts = {
            name: getattr(prompt, name)
            for name in ("slug", "version", "name", "description", "feature_slug")
        }
        check_texts("", {"project": project, **texts})
        for label in labels:
            check_texts("", {"label": label})
        body = json_text(prompt.body)
        row_version = self._versions.take(1)

        def run(connection: Connection) -> PromptVersion:
            before = [
                _to_prompt_version(row)
                for row in connection.execute(_prompt_versions(project, [prompt.slug]))
            ]
            added = _completed(prompt, before)
            same = next((v for v in before if v.version == added.version), None)
            if same is not None and json_text(same.body) != body:
                raise _version_exists(added)
            if same is None:
                row = (
                    project,
                    added.slug,
                    added.version,
                    added.name,
                    added.description,
                    added.feature_slug,
                    added.created_ns,
                    body,
                )
                try:
                    connection.execute(prompt_versions.insert().values(row))
                except IntegrityError:  # another process was quicker
                    raise _version_exists(added) from None
            tags = [(project, added.slug, label, row_version, added.version) for label in labels]
            self._database.upsert(connection, prompt_tags, tags)
            return same or added

        return await self._writer.write(run)  # type: ignore[no-any-return]

    async def prompts(
        self, project: str, slugs: Iterable[str] | None = None
    ) -> tuple[list[PromptVersion], list[PromptTag]]:
        """The versions, by slug and the newest first, and the tags, by slug and label, of these prompts, or of all (None)."""
        check_texts("", {"project": project})
        wanted = None if slugs is None else list(slugs)
        for slug in wanted or ():
            check_texts("", {"slug": slug})
        tags = (
            select(prompt_tags.c.slug, prompt_tags.c.label, prompt_tags.c.prompt_version)
            .where(prompt_tags.c.project == project)
            .order_by(prompt_tags.c.slug, prompt_tags.c.label)
        )
        if wanted is not None:
            tags = tags.where(prompt_tags.c.slug.in_(wanted))
        versions = _prompt_versions(project, wanted)

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
        """Point a tag at a version; it moves if it is there."""
        check_texts(
            "",
            {"project": project, "slug": tag.slug, "label": tag.label, "version": tag.version},
        )
        row = (project, tag.slug, tag.label, self._versions.take(1), tag.version)
        await self._writer.write({prompt_tags: [row]})

    # Evaluators

    async def register_evaluator(self, project: str, evaluator: Evaluator) -> None:
        """Store an evaluator, in place of one of its slug; all that waits for the slug may be taken at once."""
        check_texts("", {"project": project, "slug": evaluator.slug, "kind": evaluator.kind})
        row = (
            project,
            evaluator.slug,
            self._versions.take(1),
            evaluator.kind,
            evaluator.created_ns,
            json_text(evaluator.body),
        )
        wake = (
            update(evaluations)
            .where(evaluations.c.project == project, evaluations.c.evaluator == evaluator.slug)
            .values(due_ns=time.time_ns(), owner="", attempts=0)
        )

        def run(connection: Connection) -> None:
            self._database.upsert(connection, evaluators, [row])
            connection.execute(wake)

        await self._writer.write(run)

    async def evaluators(self, project: str, slugs: Iterable[str] | None = None) -> list[Evaluator]:
        """The evaluators of these slugs, or all (None), by slug."""
        check_texts("", {"project": project})
        query = (
            select(evaluators.c.slug, evaluators.c.kind, evaluators.c.created_ns, evaluators.c.body)
            .where(evaluators.c.project == project)
            .order_by(evaluators.c.slug)
        )
        if slugs is not None:
            wanted = list(slugs)
            for slug in wanted:
                check_texts("", {"slug": slug})
            query = query.where(self._database.among(evaluators.c.slug, wanted))
        found = await self._read(lambda c: c.execute(query).fetchall())
        return [
            Evaluator(slug=slug, kind=kind, created_ns=created_ns, body=orjson.loads(body))
            for slug, kind, created_ns, body in found
        ]

    async def delete_evaluator(self, project: str, slug: str) -> bool:
        """Remove an evaluator; False when there was none."""
        check_texts("", {"project": project, "slug": slug})
        statement = delete(evaluators).where(
            evaluators.c.project == project, evaluators.c.slug == slug
        )
        return bool(await self._writer.write(lambda c: c.execute(statement).rowcount))


def _experiments(project: str) -> Any:
    columns = (c for c in experiments.c if c.name != "project")
    return select(*columns).where(experiments.c.project == project)


def _to_experiment(row: Sequence[Any]) -> Experiment:
    return Experiment(id=row[0], name=row[1], feature_slug=row[2], created_ns=row[3])


def _prompt_versions(project: str, slugs: Sequence[str] | None) -> Any:
    columns = prompt_versions.c
    query = select(*(c for c in columns if c.name != "project")).where(columns.project == project)
    if slugs is not None:
        query = query.where(columns.slug.in_(slugs))
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
    """One more in the second place than the highest; names that are not three numbers do not count."""
    numbers = [tuple(map(int, m.groups())) for v in taken if (m := _NUMBERED.fullmatch(v))]
    if not numbers:
        return "1.0.0"
    major, minor, _ = max(numbers)
    return f"{major}.{minor + 1}.0"


def _version_exists(prompt: PromptVersion) -> SpanloomError:
    return SpanloomError(
        Code.ALREADY_EXISTS,
        Reason.PROMPT_VERSION_EXISTS,
        f"the prompt {prompt.slug!r} has a version {prompt.version!r} with another content; versions never change",
        metadata={"slug": prompt.slug, "version": prompt.version},
    )
