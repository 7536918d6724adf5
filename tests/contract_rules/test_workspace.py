"""buf as users use it: what it does in a clone after `make`, without a network."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from tests.contract_rules.conftest import Buf
from tools import contract

# A plugin of protoc that keeps its requests and writes nothing. buf may call it for each directory.
RECORDER = """\
#!{python}
import os, pathlib, sys
if "--version" in sys.argv:  # as protoc
    sys.exit(print("libprotoc 33.0"))
pathlib.Path(f"{{__file__}}.{{os.getpid()}}.request").write_bytes(sys.stdin.buffer.read())
"""
PLUGINS = {
    "go": ("protoc-gen-go", "protoc-gen-go-grpc"),
    "java": ("protoc-gen-grpc-java",),
    "kotlin": ("protoc-gen-grpc-java", "protoc-gen-grpc-kotlin"),
    "typescript": ("protoc-gen-es",),
}


def recorder(directory: Path, name: str) -> None:
    file = directory / name
    file.write_text(RECORDER.format(python=sys.executable))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("command", ["build", "lint"])
def test_buf_works_without_a_network(workspace: Path, buf: Buf, command: str) -> None:
    done = buf(command, cwd=workspace)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_contract_is_compatible_with_itself(workspace: Path, buf: Buf) -> None:
    assert buf("breaking", "--against", str(workspace), cwd=workspace).returncode == 0


def generated(
    workspace: Path, buf: Buf, tmp_path: Path, language: str
) -> dict[str, list[CodeGeneratorRequest]]:
    """What buf asks of each plugin of a language."""
    for name in (*PLUGINS[language], "protoc"):
        recorder(tmp_path, name)
    done = buf("generate", "--template", f"buf.gen.{language}.yaml", cwd=workspace, path=tmp_path)
    assert done.returncode == 0, done.stderr
    return {
        name: [
            CodeGeneratorRequest.FromString(file.read_bytes())
            for file in tmp_path.glob(f"{name}.*.request")
        ]
        for name in PLUGINS[language]
    }


def file_of(requests: list[CodeGeneratorRequest], name: str) -> FileDescriptorProto:
    return next(file for request in requests for file in request.proto_file if file.name == name)


@pytest.mark.parametrize("language", PLUGINS)
def test_every_template_generates_the_contract(
    workspace: Path, buf: Buf, tmp_path: Path, language: str
) -> None:
    for requests in generated(workspace, buf, tmp_path, language).values():
        files = {file for request in requests for file in request.file_to_generate}
        assert "spanloom/v1/span_service.proto" in files


def test_go_code_gets_a_package_and_that_of_google_keeps_its_own(
    workspace: Path, buf: Buf, tmp_path: Path
) -> None:
    requests = generated(workspace, buf, tmp_path, "go")["protoc-gen-go"]
    package = file_of(requests, "spanloom/v1/span.proto").options.go_package
    assert package == "example.com/app/gen/spanloom/v1;spanloomv1"
    google = file_of(requests, "google/api/annotations.proto").options.go_package
    assert google == "google.golang.org/genproto/googleapis/api/annotations;annotations"


def test_java_code_gets_a_package_and_a_file_for_each_class(
    workspace: Path, buf: Buf, tmp_path: Path
) -> None:
    requests = generated(workspace, buf, tmp_path, "java")["protoc-gen-grpc-java"]
    options = file_of(requests, "spanloom/v1/span.proto").options
    assert (options.java_package, options.java_multiple_files) == ("dev.spanloom.v1", True)
    google = file_of(requests, "google/api/annotations.proto").options
    assert google.java_package == "com.google.api"


def test_python_code_is_that_of_the_package(workspace: Path, buf: Buf) -> None:
    for name in (".venv", "tools"):
        if not (workspace / name).exists():
            (workspace / name).symlink_to(contract.ROOT / name)
    done = buf("generate", cwd=workspace)
    assert done.returncode == 0, done.stderr
    made = workspace / "gen" / "spanloom" / "v1"
    names = {file.name for file in contract.GENERATED.glob("*_pb2*.py")}
    assert {file.name for file in made.glob("*_pb2*.py")} == names
    for name in names:
        # buf puts the JSON names of fields into the descriptors that messages are made of.
        if name.endswith("_grpc.py"):
            assert (made / name).read_text() == (contract.GENERATED / name).read_text()
