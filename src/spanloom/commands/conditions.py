"""Options that become conditions of a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from spanloom.commands.profiles import near
from spanloom.commands.times import DURATION

if TYPE_CHECKING:
    from spanloom.client import Client
    from spanloom.v1.span_pb2 import SpanFilter

Command = Callable[..., Any]

# The option of a condition, the field of the filter, and the help.
_TEXTS: Final = {
    "session": ("conversation_id", "Only of this conversation (session)."),
    "name": ("name", "Only with this name."),
    "user": ("user_id", "Only of this user."),
    "feature": ("feature", "Only of this feature."),
    "agent": ("agent_name", "Only with this agent."),
    "model": ("model", "Only with this model."),
    "provider": ("provider", "Only with this provider."),
    "tool": ("tool_name", "Only with this tool."),
    "experiment": ("experiment_id", "Only of this experiment."),
    "environment": ("environment", "Only of this environment."),
    "text": ("text", "Only with this text in it."),
}


def condition_options(*names: str) -> Callable[[Command], Command]:
    """A decorator: the options with these names, as the argument `conditions`, by field."""

    def decorate(command: Command) -> Command:
        def run(*args: Any, **given: Any) -> Any:
            conditions = {_TEXTS[name][0]: given.pop(f"only_{name}") for name in names}
            chosen = {field: value for field, value in conditions.items() if value}
            return command(*args, conditions=chosen, **given)

        made: Any = run
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__dict__.update(command.__dict__)  # click keeps options there
        for name in reversed(names):
            text = _TEXTS[name][1]
            made = click.option(f"--{name}", f"only_{name}", metavar="TEXT", help=text)(made)
        decorated: Command = made
        return decorated

    return decorate


def min_duration_option(command: Command) -> Command:
    return click.option(
        "--min-duration", type=DURATION, help="Only what took at least so long: 1.5s, 2m."
    )(command)


def attribute_option(command: Command) -> Command:
    return click.option(
        "--attribute",
        "attributes",
        multiple=True,
        metavar="CONDITION",
        help="A condition on an attribute, as the API has it, such as app.tier=gold.",
    )(command)


def enum_value(kind: Any, prefix: str, word: str, noun: str) -> Any:
    """The value of an enum by the word for it, such as `model` for SPAN_KIND_MODEL.

    Ends the command, with the near word, if there is none.
    """
    words = {
        name.removeprefix(prefix).lower(): number
        for name, number in kind.items()
        if not name.endswith("_UNSPECIFIED")
    }
    try:
        return words[word.lower().replace("-", "_")]
    except KeyError:
        known = ", ".join(words)
        raise click.ClickException(
            f"there is no {noun} {word!r}{near(word, words) or f': there are {known}'}"
        ) from None


def span_filter(conditions: Mapping[str, Any], **more: Any) -> SpanFilter:
    """A SpanFilter of the conditions; kinds and status are words."""
    from spanloom.client.values import to_timestamp
    from spanloom.v1.span_pb2 import SpanFilter, SpanKind, StatusCode

    kinds = [enum_value(SpanKind, "SPAN_KIND_", k, "kind") for k in more.get("kinds", ())]
    made = SpanFilter(
        **conditions,
        kinds=kinds,
        start_time_from=to_timestamp(more.get("since")),
        start_time_before=to_timestamp(more.get("until")),
        attributes=more.get("attributes", ()),
    )
    if status := more.get("status"):
        made.status_code = enum_value(StatusCode, "STATUS_CODE_", status, "status")
    if (duration := more.get("min_duration")) is not None:
        made.min_duration.FromTimedelta(duration)
    return made


def place_of(client: Client, given: str) -> dict[str, str]:
    """`trace_id` or `conversation_id`, whichever has this id. Ends the command if none has."""
    from spanloom.client import CallError
    from spanloom.errors import SpanloomError

    for name, get in (("trace_id", client.get_trace), ("conversation_id", client.get_conversation)):
        try:
            get(given)
        except (CallError, SpanloomError) as error:
            if str(error.code) != "NOT_FOUND":
                raise
        else:
            return {name: given}
    from spanloom.commands.connect import check_project

    check_project(client)
    raise click.ClickException(f"there is no trace and no conversation {given!r}")
