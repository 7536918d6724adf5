"""Rules of the code that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import spanloom
from spanloom.codec.json_path import json_path
from spanloom.v1 import trace_service_pb2

SOURCE = Path(spanloom.__file__).parent
SERVICES = SOURCE / "services"
# They read or write JSON that Spanloom's messages do not define (attributes of vendors, OTLP's
# JSON, error bodies), or call the API as its clients do.
# The body of an error in REST is no message of the proto files.
OTHERS_NAMES = (
    *("adapters/otlp/", "codec/otlp_", "genai/", "server/status.py", "commands/"),
    *("operations/demo.py", "operations/demo_agents.py", "adapters/honeyhive/catalog.py"),
    "server/http/json_schema.py",
)


def sources() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith("v1/"):
            yield name, path.read_text()


def json_names() -> set[str]:
    """The JSON names of all fields of spanloom.v1 that are not the fields' own names."""
    names: set[str] = set()

    def add(message: Any) -> None:
        names.update(f.json_name for f in message.fields if f.json_name != f.name)
        for nested in message.nested_types:
            add(nested)

    for path in (SOURCE / "v1").glob("*_pb2.py"):
        module = import_module(f"spanloom.v1.{path.stem}")
        for message in module.DESCRIPTOR.message_types_by_name.values():
            add(message)
    return names


def literals(text: str) -> Iterator[tuple[int, str]]:
    """The strings of a module that are no docstrings, with their lines."""
    tree = ast.parse(text)
    docstrings = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(value)) if id(node) not in docstrings:
                yield node.lineno, value


def test_no_json_name_of_a_field_is_typed() -> None:
    """They are in the proto files alone; `codec.json_path` spells a path of field names."""
    names = json_names()
    assert json_path(trace_service_pb2.ListTracesRequest)("page_token") == "pageToken"
    assert "pageToken" in names
    typed = [
        f"{name}:{line}: {value}"
        for name, text in sources()
        if not name.startswith(OTHERS_NAMES)
        for line, value in literals(text)
        if names.intersection(re.split(r"[^A-Za-z]+", value))
    ]
    assert typed == []


def test_services_hold_one_module_a_service_and_what_they_share() -> None:
    for path in SERVICES.glob("*.py"):
        classes = re.findall(r"^class (\w+Service)\b", path.read_text(), re.MULTILINE)
        shared = (
            "__init__",
            "context",
            *("jaeger_traces", "price_file", "redaction", "repeats", "trace_ids", "trace_views"),
        )
        expected = 0 if path.stem in shared else 1
        assert len(classes) == expected, path.name
