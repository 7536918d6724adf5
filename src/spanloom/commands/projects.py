"""`spanloom projects`: lists projects, sets what they keep, redact and may take, and deletes
them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.connect import check_project, connected, connection_options
from spanloom.commands.output import Column, Output, count, output_options, time_text

if TYPE_CHECKING:
    from spanloom.client import Client

NOTHING = "none"
COLUMNS = (
    Column("project", lambda p: p.project_id),
    Column("created (UTC)", lambda p: time_text(p.create_time)),
    Column("keeps traces", lambda p: _kept(p)),
    Column("limits", lambda p: _limits(p)),
)
# The options of `projects set` that are limits.
LIMITS = ("requests_per_second", "bytes_per_second", "spans_per_second", "stored_spans")


class Days(click.ParamType[Any]):
    """A number of days, `forever` (0) or `default` (None, in a tuple: None is no option)."""

    name = "DAYS"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None]:
        words: dict[str, int | None] = {"forever": 0, "default": None}
        if value in words:
            return (words[value],)
        if not value.isdecimal() or int(value) == 0:
            self.fail("give a number of days, forever or default", param, ctx)
        return (int(value),)


class Pattern(click.ParamType[Any]):
    """A name and a regular expression."""

    name = "NAME=PATTERN"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        name, equals, pattern = value.partition("=")
        if not equals:
            self.fail("give a name, `=` and a pattern", param, ctx)
        return name, pattern


class Limit(click.ParamType[Any]):
    """A whole number, `none` (0) or `default` (None, in a tuple: None is no option)."""

    name = "N"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None]:
        words: dict[str, int | None] = {"none": 0, "default": None}
        if value in words:
            return (words[value],)
        if not (value.isascii() and value.isdecimal()) or not 0 < int(value) < 1 << 63:
            self.fail("give a number, none or default", param, ctx)
        return (int(value),)


@click.group(invoke_without_command=True)
@output_options
@connection_options
@click.pass_context
def projects(context: click.Context, /, output: Output, project: str | None, **where: Any) -> None:
    """List the projects that the key may read; or set or delete one."""
    if context.invoked_subcommand is None:
        with connected(project=project, **where) as client:
            output.rows(client.list_projects(), COLUMNS, "project")


@projects.command("set")
@click.argument("name")
@click.option(
    "--retention",
    type=Days(),
    help="For how many days traces are kept: DAYS, forever, or default (the server's setting).",
)
@click.option(
    "--redact",
    "presets",
    multiple=True,
    help="What is redacted: card, email, iban, ip, phone, ssn or token; or none, alone.",
)
@click.option(
    "--redact-pattern",
    "patterns",
    multiple=True,
    type=Pattern(),
    help="What is redacted, by a regular expression of RE2.",
)
@click.option(
    "--redact-path",
    "paths",
    multiple=True,
    help="What is redacted, as `$..ssn` or `$.inputs.user`.",
)
@click.option(
    "--redactor", "redactors", multiple=True, help="A function that is installed on the servers."
)
@click.option("--requests-per-second", type=Limit(), help="Calls: N, none or default.")
@click.option("--bytes-per-second", type=Limit(), help="Bytes of what is written.")
@click.option("--spans-per-second", type=Limit(), help="Spans that are written.")
@click.option("--stored-spans", type=Limit(), help="Spans that the project may store.")
@connection_options
def set_project(
    name: str, retention: tuple[int | None] | None, project: str | None, **options: Any
) -> None:
    """Set for how long the project NAME keeps its traces, what is redacted before it is stored, and
    what it may take of the server.

    A trace is deleted as a whole, within an hour after its newest span is older than the retention.
    Rules of redaction replace all earlier ones of the project, and may be given several times. A
    limit is a number, none, or default (the server's setting).
    """
    from spanloom.v1 import project_service_pb2 as pb
    from spanloom.v1.project_service_pb2_grpc import ProjectServiceStub

    rules = {each: options.pop(each) for each in ("presets", "patterns", "paths", "redactors")}
    has_rules = any(rules.values())
    given = {limit: options.pop(limit) for limit in LIMITS}
    limits = {limit: value[0] for limit, value in given.items() if value is not None}
    if retention is None and not has_rules and not limits:
        raise click.UsageError("give what to set: --retention, something to redact, or a limit")
    if NOTHING in rules["presets"]:
        if sum(map(len, rules.values())) > 1:
            raise click.UsageError("--redact none must be the only rule")
        rules["presets"] = ()
    with connected(project=name, **options) as client:
        check_project(client)
        stub = ProjectServiceStub(client.channel)
        if retention is not None:
            request = pb.UpdateRetentionRequest(retention_days=retention[0])
            client.call(stub.UpdateRetention, request)
        if limits:
            changed = pb.UpdateLimitsRequest()
            changed.update_mask.paths.extend(limits)
            for limit, value in limits.items():
                if value is not None:
                    setattr(changed.limits, limit, value)
            client.call(stub.UpdateLimits, changed)
        [found] = [each for each in client.list_projects() if each.project_id == name]
        if retention is not None:
            click.echo(f"{name} keeps traces: {_kept(found)}")
        if limits:
            click.echo(f"{name} has these limits of its own: {_limits(found) or 'none'}")
        if has_rules:
            click.echo(f"{name} redacts: {_redacted(client, rules)}")


def _redacted(client: Client, given: dict[str, Any]) -> str:
    """Store rules of redaction; what they are."""
    from spanloom.v1 import project_service_pb2 as pb
    from spanloom.v1.project_service_pb2_grpc import ProjectServiceStub

    patterns = [pb.RedactionPattern(name=n, pattern=p) for n, p in given.pop("patterns")]
    request = pb.UpdateRedactionRequest(rules=pb.RedactionRules(**given, patterns=patterns))
    rules = client.call(ProjectServiceStub(client.channel).UpdateRedaction, request).rules
    names = [
        *rules.presets,
        *(each.name for each in rules.patterns),
        *rules.paths,
        *rules.redactors,
    ]
    return ", ".join(names) or "nothing of its own"


@projects.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connection_options
def delete_project(name: str, yes: bool, project: str | None, **where: Any) -> None:
    """Delete the project NAME for ever, with all that is in it and its keys."""
    from spanloom.v1.project_service_pb2 import DeleteProjectRequest
    from spanloom.v1.project_service_pb2_grpc import ProjectServiceStub

    with connected(project=name, **where) as client:
        check_project(client)
        if not yes:
            what = f"the project {name!r} with all that is in it, and its keys"
            click.confirm(f"Delete {what} for ever?", abort=True, err=True)
        stub = ProjectServiceStub(client.channel)
        counts = erased(client, stub.DeleteProject, DeleteProjectRequest(project_id=name))
    click.echo(f"deleted {name}: {counts}")


def erased(client: Client, method: Any, request: Any) -> str:
    """Call a method that deletes until it is done; what was deleted."""
    from spanloom.client import CallError

    while True:
        try:
            found = client.call(method, request).deleted_counts
        except CallError as error:
            if error.code != "DEADLINE_EXCEEDED":
                raise
            click.echo("spanloom: there is more to delete", err=True)
        else:
            return f"{count(found.trace_count, 'trace')}, {count(found.span_count, 'span')}"


def _kept(project: Any) -> str:
    if not project.HasField("retention_days"):
        return "by the server's setting"
    return count(project.retention_days, "day") if project.retention_days else "forever"


def _limits(project: Any) -> str:
    """The project's own limits, by the names of the options."""
    own = [(limit, getattr(project.limits, limit)) for limit in LIMITS]
    shown = [(limit, value) for limit, value in own if project.limits.HasField(limit)]
    return ", ".join(f"{limit.replace('_', '-')} {value or 'none'}" for limit, value in shown)
