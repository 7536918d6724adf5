"""A plugin of protoc that writes Python's gRPC code, which buf runs: see buf.gen.yaml.

grpcio-tools can write this code, but is not a plugin: its protoc has the generator built in.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet


def generate(request: CodeGeneratorRequest, scratch: Path) -> CodeGeneratorResponse:
    wanted = set(request.file_to_generate)
    files = [file.name for file in request.proto_file if file.name in wanted and file.service]
    descriptors, out = scratch / "descriptors.binpb", scratch / "out"
    descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
    out.mkdir()
    protoc = (sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptors}")
    command = (*protoc, f"--grpc_python_out={out}", *files)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return CodeGeneratorResponse(error=done.stderr)
    response = CodeGeneratorResponse(
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    for file in sorted(out.rglob("*.py")):
        response.file.add(name=str(file.relative_to(out)), content=file.read_text())
    return response


if __name__ == "__main__":
    incoming = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    with TemporaryDirectory() as directory:
        answer = generate(incoming, Path(directory))
    sys.stdout.buffer.write(answer.SerializeToString())
