"""Tool calls as models ask for them: which were carried out, what came back, and where they stand in the text.

Rules: docs/contracts/agent_chat.md, sections 2.7 and 3.13.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from spanloom.chat.facts import AGENT, TOOL, Facts
from spanloom.chat.json_text import printed
from spanloom.chat.messages import (
    ASSISTANT,
    CALL_PARTS,
    USER,
    Message,
    is_result,
    joined_text,
    part_type,
    reasoning_of,
)
from spanloom.chat.tree import SpanTree

if TYPE_CHECKING:
    from spanloom.model import Json


class Call(NamedTuple):
    """A tool call as a model asked for it; `call_id` "" where it has none."""

    call_id: str
    name: str
    arguments: str


class Piece(NamedTuple):
    """What a model said before, between or after its calls."""

    messages: Sequence[Message]
    text: str
    reasoning: str


NOTHING_SAID = Piece((), "", "")


class ModelCalls:
    """The calls that only models' messages tell of. Each with an id is taken at most once.

    `results` holds what later inputs say that a call gave back, by the call's id.
    """

    def __init__(self, facts: Iterable[Facts], *, with_results: bool) -> None:
        facts = list(facts)
        self._executed = {f.call_id for f in facts if f.call_id and f.act in (TOOL, AGENT)}
        self._taken: set[str] = set()
        self.results: dict[str, str] = {}
        self._answered: set[tuple[str, str]] = set()
        for f in facts if with_results else ():
            self._answered.update((call.name, call.arguments) for call in calls_in(f.outputs))
            for call_id, result in results_in(f.inputs):
                self.results.setdefault(call_id, result)

    def is_executed(self, call: Call) -> bool:
        """Whether a tool or agent span carries the call's id."""
        return call.call_id in self._executed

    def take_repeated(self, call: Call) -> bool:
        """As `take`, of a call that an input repeats: not if an answer asked for the same, as some instrumentations give it
        another id there."""
        return (call.name, call.arguments) not in self._answered and self.take(call)

    def take(self, call: Call) -> bool:
        """Whether the call has no span of its own and was not taken before."""
        if call.call_id in self._executed or call.call_id in self._taken:
            return False
        if call.call_id:
            self._taken.add(call.call_id)
        return True


def calls_in(messages: Iterable[Message]) -> Iterator[Call]:
    """The calls that assistants ask for, in order."""
    for message in messages:
        if message.role == ASSISTANT and not isinstance(message.content, str):
            for part in message.content:
                if (call := _call(part)) is not None:
                    yield call


def calls_after_last_user(messages: Sequence[Message]) -> Iterator[Call]:
    """The calls in a model's input that belong to the turn under way; only those with an id, as every input repeats
    them."""
    last = max((i for i, m in enumerate(messages) if m.role == USER), default=-1)
    return (call for call in calls_in(messages[last + 1 :]) if call.call_id)


def piece_of(messages: Sequence[Message]) -> Piece:
    """All that messages say, in one."""
    if not messages:
        return NOTHING_SAID
    return Piece(messages, joined_text(messages), reasoning_of(messages))


def pieces_of(outputs: Sequence[Message], take: Callable[[Call], bool]) -> list[Piece | Call]:
    """An output in the order of its parts, cut where a call is taken. The first step is always a piece."""
    steps: list[Piece | Call] = []
    piece: list[Message] = []
    for message in outputs:
        if message.role != ASSISTANT or isinstance(message.content, str):
            piece.append(message)
            continue
        parts: list[Json] = []
        for part in message.content:
            call = _call(part)
            if call is None or not take(call):
                parts.append(part)
                continue
            piece.append(Message(message.role, parts, message.from_parts))
            steps += [piece_of(piece), call]
            piece, parts = [], []
        piece.append(Message(message.role, parts, message.from_parts))
    return [*steps, piece_of(piece)]


def after_their_requests(tree: SpanTree, facts: Mapping[str, Facts]) -> SpanTree:
    """The tree with each tool or agent span right behind the only sibling that asked for it by its call id."""
    return SpanTree(
        _moved(tree.roots, facts),
        {parent: _moved(children, facts) for parent, children in tree.children.items()},
    )


def _moved(siblings: Sequence[str], facts: Mapping[str, Facts]) -> Sequence[str]:
    wanted = {f.call_id for s in siblings if (f := facts[s]).call_id and f.act in (TOOL, AGENT)}
    if not wanted:
        return siblings
    asked: defaultdict[str, str] = defaultdict(str)
    askers: Counter[str] = Counter()
    for sibling in siblings:
        # What an execution asks for is carried out below it, not beside it.
        if facts[sibling].act != TOOL and facts[sibling].call_id not in wanted:
            for call_id in {call.call_id for call in calls_in(facts[sibling].outputs)} & wanted:
                asked[call_id] = sibling
                askers[call_id] += 1
    behind: defaultdict[str, list[str]] = defaultdict(list)
    moved: set[str] = set()
    for sibling in siblings:
        f = facts[sibling]
        if f.act in (TOOL, AGENT) and askers[f.call_id] == 1:
            behind[asked[f.call_id]].append(sibling)
            moved.add(sibling)
    return [s for first in siblings if first not in moved for s in (first, *behind[first])]


def _call(part: Json) -> Call | None:
    if not isinstance(part, dict) or part_type(part) not in CALL_PARTS:
        return None
    name = part.get("name")
    if not isinstance(name, str) or not name:
        return None
    call_id = part.get("call_id") or part.get("id")
    arguments = part.get("arguments", part.get("input"))
    return Call(call_id if isinstance(call_id, str) else "", name, printed(arguments))


def results_in(messages: Iterable[Message]) -> Iterator[tuple[str, str]]:
    for message in messages:
        if isinstance(message.content, str):
            continue
        for part in filter(is_result, message.content):
            ids = (part.get(key) for key in ("id", "tool_call_id", "tool_use_id", "call_id"))
            values = (part.get(key) for key in ("response", "result", "output", "content"))
            call_id = next((i for i in ids if i and isinstance(i, str)), None)
            result = next((v for v in values if v is not None), None)
            if call_id and result is not None:
                yield call_id, printed(result)
