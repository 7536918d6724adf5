"""The walk from the spans of a trace to its messages.

Depth first without recursion: a tool's call and an agent's start come before what happened inside,
a model's text after it. Rules: docs/contracts/agent_chat.md, sections 2.5 to 2.10 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from spanloom.chat.calls import Calls, calls_of
from spanloom.chat.facts import AGENT, HANDOFF, TOOL, WORKFLOW, Facts, FactsById
from spanloom.chat.pairing import Call
from spanloom.chat.passes.handoffs import agents_of, is_transfer, transfer_target
from spanloom.chat.payloads import (
    USER_NAME,
    agent_start,
    async_launch,
    context_compacted,
    duration_ms,
    message_of,
    tool_call,
    user_message,
)
from spanloom.chat.refs import refs_in, with_marks
from spanloom.chat.timeline import PossibleHandoff, Timeline
from spanloom.chat.tools import NOTHING_SAID, Piece, piece_of, pieces_of
from spanloom.chat.tree import SpanTree
from spanloom.chat.usage import NO_USAGE, Usage
from spanloom.chat.users import Scope, Users
from spanloom.genai.text import text_of
from spanloom.model.genai import GenAiMessage, ToolCallPart
from spanloom.model.turn import (
    AgentHandoff,
    AgentStart,
    AssistantMessage,
    ChatMessage,
    Payload,
    ToolCall,
    UserMessage,
)

# Acts that answer for the spans below them.
_ANSWER_FOR_OTHERS = (AGENT, WORKFLOW)
# What an assistant message takes from the span above that repeats its text (Claude Code, and calls
# recorded twice).
_REPEATED_FIELDS = (
    "model",
    "reasoning_content",
    "reasoning_tokens",
    "input_tokens",
    "output_tokens",
    "input_cost_usd",
    "output_cost_usd",
    "total_cost_usd",
    "duration_ms",
    "content_refs",
)


@dataclass(slots=True)
class _Frame:
    """A span that the walk is in, and what it found in the spans below so far."""

    facts: Facts
    label: str
    scope: Scope
    children: Iterator[str]
    spoke: bool = False
    usage: Usage = NO_USAGE
    reasoning: str = ""
    # What direct children said, or only thought, and the index of each one's message.
    said: dict[tuple[str, str], int] | None = None


class _Walk:
    def __init__(self, tree: SpanTree, facts: FactsById, *, model_calls: bool) -> None:
        self._facts = facts
        self._tree = tree
        self._shows_requests = model_calls
        self._found_calls: Calls | None = None
        self._users = Users()
        self._messages: list[ChatMessage] = []
        self._handoffs: list[PossibleHandoff] = []
        self._answers: dict[str, str] = {}  # each answer, and the agent that gave it last
        self._system = ""  # the system prompt shown last
        # The index of the agent_start that a model's system prompt may still complete.
        self._open_start: int | None = None

    def run(self) -> Timeline:
        for root in self._tree.roots:
            self._walk(root)
        return Timeline(self._messages, self._handoffs, self._users.user_spoke)

    def _walk(self, root: str) -> None:
        stack = [self._enter(root, None)]
        while stack:
            frame = stack[-1]
            child = next(frame.children, None)
            if child is not None:
                stack.append(self._enter(child, frame))
                continue
            stack.pop()
            above = stack[-1] if stack else None
            self._leave(frame, above)
            if above is not None:
                above.spoke = above.spoke or frame.spoke
                above.usage = above.usage.plus(frame.usage)
                above.reasoning = above.reasoning or frame.reasoning

    def _enter(self, span_id: str, above: _Frame | None) -> _Frame:
        facts = self._facts[span_id]
        outer_label = above.label if above else ""
        scope = above.scope if above else Scope()
        if facts.act in (AGENT, TOOL):
            # Inside a tool, the user is the agent that called it, or the tool if no agent has a
            # name.
            caller = outer_label or facts.tool_name
            scope = scope.inner(caller, facts.inputs if facts.act == AGENT else ())
        frame = _Frame(
            facts=facts,
            label=facts.agent or outer_label or facts.agent_from_name,
            scope=scope,
            children=iter(self._tree.children.get(span_id, ())),
            usage=facts.usage,
            reasoning=facts.reasoning,
        )
        if facts.act == AGENT:
            self._start_agent(frame)
        elif facts.act == TOOL:
            self._call_tool(frame)
        elif facts.act != WORKFLOW:
            if facts.act == HANDOFF:
                self._hand_off(frame, *agents_of(facts), is_certain=True)
            self._start_model(frame)
        return frame

    def _start_agent(self, frame: _Frame) -> None:
        facts = frame.facts
        if facts.agent or facts.span.model or facts.system or facts.tool_definitions:
            self._open_start = len(self._messages)
            self._system = facts.system or self._system
            self._emit(facts, facts.agent, agent_start(facts))
        compacted = context_compacted(facts)
        if compacted is not None:
            self._emit(facts, frame.label, compacted)
        if facts.is_turn:
            self._show_users(frame)

    def _call_tool(self, frame: _Frame) -> None:
        facts = frame.facts
        self._emit(facts, frame.label, tool_call(facts))
        if facts.status != "ERROR":
            self._transfer(frame, facts.tool_name, facts.tool_arguments)

    def _start_model(self, frame: _Frame) -> None:
        facts = frame.facts
        if facts.system and facts.system != self._system:
            self._show_system(frame)
        self._show_users(frame)
        if self._shows_requests:
            for call in self._calls.passed_on.get(facts.span.span_id, ()):
                if not call.is_executed:
                    self._show_request(frame, call, facts.span.start_ns)

    def _show_system(self, frame: _Frame) -> None:
        """A changed system prompt completes the agent's start, else it is a start of its own."""
        facts = frame.facts
        self._system = facts.system
        if self._open_start is not None:
            message = self._messages[self._open_start]
            start = message.payload
            if (
                isinstance(start, AgentStart)
                and not start.system_instructions
                and (message.agent_name or "") == frame.label
            ):
                start = replace(
                    start,
                    system_instructions=facts.system,
                    tool_definitions=start.tool_definitions or facts.tool_definitions,
                )
                self._messages[self._open_start] = replace(message, payload=start)
                return
        self._open_start = len(self._messages)
        self._emit(facts, frame.label, agent_start(facts))

    def _show_users(self, frame: _Frame) -> None:
        facts = frame.facts
        for message, asked_by in self._users.new_messages(facts.inputs, frame.scope):
            self._open_start = None
            speaker = self._agent_quoted(message, frame.label) or asked_by
            shown = user_message(facts, message, speaker, frame.label)
            self._messages.append(shown)
            payload = shown.payload
            # Media without a reference show nothing that could be read.
            has_words = (
                not isinstance(payload, UserMessage)
                or payload.text
                or refs_in([message], facts.content_refs)
            )
            if speaker == USER_NAME and has_words:
                self._users.user_spoke = True

    def _agent_quoted(self, message: GenAiMessage, label: str) -> str:
        """The other agent whose words these are: agents of a group are each other's users."""
        text = text_of(message).strip() if self._answers else ""
        said_by = self._answers.get(text, "") if text else ""
        return said_by if said_by != label else ""

    def _leave(self, frame: _Frame, above: _Frame | None) -> None:
        facts = frame.facts
        if facts.act == TOOL or not (facts.outputs or facts.reasoning or facts.status == "ERROR"):
            return
        if facts.act == AGENT and not frame.spoke and (launch := async_launch(facts)) is not None:
            self._emit(facts, frame.label, launch)
            return
        whole = piece_of(facts.outputs)
        is_silent = not (whole.text or facts.reasoning or facts.status == "ERROR")
        # An agent that answers for the spans below it also has the first reasoning among them.
        answers_for_others = facts.act in _ANSWER_FOR_OTHERS
        reasoning = frame.reasoning if answers_for_others else facts.reasoning
        if reasoning != whole.reasoning:
            whole = whole._replace(reasoning=reasoning)
        known = frame.said if frame.said and not answers_for_others else None
        repeated = known.get(_key(whole.text, whole.reasoning)) if known else None
        if repeated is not None:
            self._complete(repeated, facts, self._answer(frame, whole, facts.usage))
            is_silent = True
        is_silent = is_silent or self._is_mirrored(frame, whole.text)
        self._say(frame, whole, above, is_silent=is_silent)

    def _is_mirrored(self, frame: _Frame, text: str) -> bool:
        """Whether an agent's own answer repeats what the spans below it said.

        Any text does, except the answer of a whole turn: it is shown unless the same text was.
        """
        if frame.facts.is_turn and text:
            return text.strip() in self._answers
        return frame.facts.act in _ANSWER_FOR_OTHERS and frame.spoke

    def _say(self, frame: _Frame, whole: Piece, above: _Frame | None, *, is_silent: bool) -> None:
        """Show what a model or agent said, and its requests; the first piece has the usage."""
        facts = frame.facts
        usage: Usage | None = facts.usage
        if facts.act in _ANSWER_FOR_OTHERS and not frame.spoke:
            usage = frame.usage
        owes_message = not is_silent
        for step in self._steps(facts, whole):
            if isinstance(step, Call):
                self._show_request(frame, step, facts.span.end_ns or facts.span.start_ns)
            elif not is_silent:
                answer = self._answer(frame, step, usage)
                if answer.text or answer.reasoning_content or answer.content_refs:
                    self._speak(frame, answer, above)
                    usage, owes_message = None, False
        if owes_message:
            self._speak(frame, self._answer(frame, NOTHING_SAID, usage), above)
        if not self._shows_requests and _may_transfer(facts.outputs):
            for call in self._open_calls(facts):
                if call is not None:
                    self._transfer(frame, call.request.name, call.request.arguments)

    @property
    def _calls(self) -> Calls:
        """The calls of the trace, which most traces are shown without."""
        if self._found_calls is None:
            self._found_calls = calls_of(self._tree, self._facts, with_inputs=self._shows_requests)
        return self._found_calls

    def _open_calls(self, facts: Facts) -> Sequence[Call | None]:
        """For each request of the output the call, if no span executes it."""
        calls = self._calls.requested.get(facts.span.span_id, ())
        return [None if call is None or call.is_executed else call for call in calls]

    def _steps(self, facts: Facts, whole: Piece) -> Sequence[Piece | Call]:
        if not self._shows_requests:
            return [whole]
        first, *others = pieces_of(facts.outputs, self._open_calls(facts))
        if not others:
            return [whole]
        if isinstance(first, Piece) and not any(
            isinstance(step, Piece) and step.reasoning for step in (first, *others)
        ):
            first = first._replace(reasoning=whole.reasoning)
        return [first, *others]

    def _answer(self, frame: _Frame, piece: Piece, usage: Usage | None) -> AssistantMessage:
        """The message for a piece; `usage` None marks a later piece: the first has the usage."""
        facts = frame.facts
        used = usage or NO_USAGE
        return AssistantMessage(
            text=piece.text,
            model=facts.answer_model,
            reasoning_content=piece.reasoning,
            reasoning_tokens=used.reasoning_tokens,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            input_cost_usd=used.input_cost,
            output_cost_usd=used.output_cost,
            total_cost_usd=used.total_cost,
            duration_ms=None if usage is None else duration_ms(facts.span),
            status=facts.status,
            content_refs=with_marks(refs_in(piece.messages, facts.content_refs), piece.messages),
        )

    def _speak(self, frame: _Frame, answer: AssistantMessage, above: _Frame | None) -> None:
        # Reasoning or a failure of a model is no answer; of an agent, any message is.
        frame.spoke = frame.spoke or answer.text != "" or frame.facts.act in _ANSWER_FOR_OTHERS
        if answer.text:
            self._answers[answer.text.strip()] = frame.label
        if above is not None and (answer.text or answer.reasoning_content):
            above.said = above.said or {}
            key = _key(answer.text, answer.reasoning_content or "")
            above.said[key] = len(self._messages)
        self._emit(frame.facts, frame.label, answer)

    def _complete(self, index: int, above: Facts, repeated: AssistantMessage) -> None:
        """Fill the gaps of a message from the same message as the span above recorded it."""
        message = self._messages[index]
        gaps = {
            name: getattr(repeated, name)
            for name in _REPEATED_FIELDS
            if not getattr(message.payload, name)
        }
        self._messages[index] = replace(
            message,
            agent_version=message.agent_version or above.agent_version or None,
            payload=replace(message.payload, **gaps),
        )

    def _show_request(self, frame: _Frame, call: Call, started_ns: int) -> None:
        """A call of which only the request is known, and perhaps the result."""
        facts, request = frame.facts, call.request
        payload = ToolCall(
            tool_name=request.name,
            tool_arguments=request.arguments,
            tool_result=call.result or "",
        )
        self._messages.append(
            ChatMessage(
                payload=payload,
                span_id=facts.span.span_id,
                agent_name=frame.label or None,
                agent_version=facts.agent_version or None,
                started_ns=started_ns,
            )
        )
        self._transfer(frame, request.name, request.arguments)

    def _transfer(self, frame: _Frame, tool_name: str, arguments: str) -> None:
        if target := transfer_target(tool_name, arguments):
            self._hand_off(frame, "", target, is_certain=False)

    def _hand_off(self, frame: _Frame, from_agent: str, to_agent: str, *, is_certain: bool) -> None:
        agents = AgentHandoff(from_agent=from_agent or frame.label, to_agent=to_agent)
        message = message_of(frame.facts, agents.from_agent, agents)
        self._handoffs.append(PossibleHandoff(len(self._messages), message, agents, is_certain))

    def _emit(self, facts: Facts, label: str, payload: Payload) -> None:
        self._messages.append(message_of(facts, label, payload))


def _key(text: str, reasoning: str) -> tuple[str, str]:
    """By what a message is known to be the same as one of a span below: its text, if it has one."""
    return text, "" if text else reasoning


def _may_transfer(messages: Sequence[GenAiMessage]) -> bool:
    return any(
        isinstance(part, ToolCallPart) and is_transfer(part.name)
        for message in messages
        for part in message.parts
    )


def walk(tree: SpanTree, facts: FactsById, *, model_calls: bool) -> Timeline:
    """The messages of a trace in order.

    `model_calls` also shows the tool calls that are only in models' messages.
    """
    return _Walk(tree, facts, model_calls=model_calls).run()
