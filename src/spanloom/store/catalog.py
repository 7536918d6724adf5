"""The contract of what a project has in addition to its traces: experiments, prompts, evaluators,
datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from spanloom.errors import SpanloomError
from spanloom.model import Dataset, Evaluator, Experiment, Json, PromptTag, PromptVersion, Record
from spanloom.store.once import EACH_TIME, Once

# The kind of the records of INSTANCE that describe projects; their ids are the projects' names.
PROJECT: Final = "project"


@dataclass(frozen=True, slots=True)
class Quota:
    """How many records of a kind a project may have, and how many characters of JSON in all."""

    records: int
    characters: int


class Records(Protocol):
    """Objects of several kinds, as JSON. All that `ControlStore` promises holds here too."""

    async def write(
        self, project: str, kind: str, *several: Record, quota: Quota | None = None
    ) -> list[Record]:
        """Store records, each in place of an earlier one with the same id, whose time of creation
        is kept; what was stored.

        Raises:
            INVALID_ARGUMENT: with them the project would have more than the quota; the error names
                the kind.
        """
        ...

    async def update(
        self,
        project: str,
        kind: str,
        id: str,
        change: Callable[[Mapping[str, Json]], Json | SpanloomError],
        quota: Quota | None = None,
    ) -> Record | None:
        """Replace the JSON of a record by what `change` makes of it, in one transaction; what was
        stored, None when there was none. An error that `change` returns is raised, and nothing is
        stored. `quota` as of `write`."""
        ...

    async def find(self, project: str, kind: str, id: str) -> Record | None:
        """The record with an id."""
        ...

    async def all(self, project: str, kind: str) -> list[Record]:
        """All records of a kind, the newest first, ties by id."""
        ...

    async def delete(self, project: str, kind: str, id: str) -> bool:
        """Delete a record; False when there was none."""
        ...


class Catalog(Protocol):
    """Experiments, prompts and evaluators. All that `ControlStore` promises holds here too."""

    # Experiments

    async def create_experiment(
        self, project: str, experiment: Experiment, once: Once = EACH_TIME
    ) -> None:
        """Store an experiment; the first one of an id is kept. `once` as of `ControlStore`."""
        ...

    async def experiment(self, project: str, experiment_id: str) -> Experiment | None:
        """The experiment with this id."""
        ...

    async def list_experiments(
        self,
        project: str,
        *,
        feature_slug: str = "",
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> list[Experiment]:
        """Experiments (of one feature), the newest first, ties by id descending.

        Args:
            after: (created_ns, id) of the last experiment seen.
        """
        ...

    async def experiment_results(
        self, project: str, experiment: Experiment
    ) -> list[tuple[str, str | None, float | None]]:
        """(evaluator, label, score) of every result on the traces of the experiment's feature that
        name the experiment."""
        ...

    # Prompts

    async def add_prompt_version(
        self,
        project: str,
        prompt: PromptVersion,
        labels: Sequence[str] = (),
        once: Once = EACH_TIME,
    ) -> PromptVersion:
        """Store a version and point the tags at it. `once` as of `ControlStore`.

        Version "" becomes the next one. Name, description and feature that are "" become those of
        the newest version before. The same version with the same body again only sets the tags.

        Returns:
            What was stored.

        Raises:
            ALREADY_EXISTS: the version exists with another body.
        """
        ...

    async def prompts(
        self, project: str, slugs: Iterable[str] | None = None
    ) -> tuple[list[PromptVersion], list[PromptTag]]:
        """The versions, by slug and the newest first, and the tags, by slug and label, of these
        prompts, or of all (None)."""
        ...

    async def tag_prompt(self, project: str, tag: PromptTag) -> None:
        """Point a tag at a version; an existing tag moves."""
        ...

    # Evaluators

    async def register_evaluator(self, project: str, evaluator: Evaluator) -> None:
        """Store an evaluator, in place of one with its slug; all evaluations that wait for the slug
        may be taken at once."""
        ...

    async def evaluators(self, project: str, slugs: Iterable[str] | None = None) -> list[Evaluator]:
        """The evaluators with these slugs, or all (None), by slug."""
        ...

    async def delete_evaluator(self, project: str, slug: str) -> bool:
        """Delete an evaluator; False when there was none."""
        ...


class Datasets(Protocol):
    """The datasets of all projects, and their rows. All that `ControlStore` promises holds here
    too."""

    async def write(self, project: str, dataset: Dataset, points: Sequence[str] = ()) -> Dataset:
        """Store a dataset, in place of one with its slug, whose rows, datapoints and time of
        creation are kept; what was stored.

        Args:
            dataset: Without a slug it replaces the dataset with its name, else it gets a new slug.
            points: The ids of the datapoints that are linked to it from then on; none keeps those
                that are.

        Raises:
            INVALID_ARGUMENT: some of the datapoints do not exist; the error names them.
        """
        ...

    async def update(
        self,
        project: str,
        slug: str,
        change: Callable[[Dataset], Dataset],
        points: Sequence[str] = (),
    ) -> Dataset | None:
        """Replace a dataset by what `change` makes of it, in one transaction; what was stored, None
        when there was none. `points` and errors as of `write`."""
        ...

    async def points(self, project: str) -> dict[str, list[str]]:
        """The ids of the datapoints that are linked to each dataset, by its slug, oldest first."""
        ...

    async def add_points(self, project: str, slug: str, points: Sequence[Record]) -> None:
        """Store datapoints and link them to a dataset, atomically.

        Raises:
            NOT_FOUND: there is no such dataset.
        """
        ...

    async def remove_point(self, project: str, slug: str, id: str) -> bool:
        """End the link of a datapoint to a dataset; False when there was none."""
        ...

    async def find(self, project: str, slug: str | None = None) -> list[Dataset]:
        """The dataset with this slug, or all (None), by slug."""
        ...

    async def add_row(
        self, project: str, slug: str, row: dict[str, Json], once: Once = EACH_TIME
    ) -> None:
        """Add a row at the end. `once` as of `ControlStore`.

        Raises:
            NOT_FOUND: there is no such dataset.
        """
        ...

    async def rows(self, project: str, slug: str) -> Sequence[dict[str, Json]]:
        """The rows of a dataset, in the order in which they were added."""
        ...

    async def delete(self, project: str, slug: str) -> bool:
        """Delete a dataset, its rows, the links of datapoints to it, and the answers (`Once.about`)
        to the calls that added rows; False when there was none."""
        ...
