"""Compares the REST calls of two versions of the contract: `rest_paths.py <old image> <new image>`.

buf does not look into google.api.http, so it accepts a changed path. A call of the old version must
be there in the new one, for the same RPC and with the same body; otherwise the program fails and
names it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet


def calls(image: FileDescriptorSet) -> Iterator[str]:
    """Each REST call as one line: RPC, HTTP method, path and what the body is."""
    for file in image.file:
        for service in file.service:
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                for binding in (rule, *rule.additional_bindings):
                    verb = binding.WhichOneof("pattern")
                    if verb:
                        bodies = f"body {binding.body!r}, response {binding.response_body!r}"
                        rpc = f"{file.package}.{service.name}/{method.name}"
                        yield f"{rpc}: {verb.upper()} {getattr(binding, verb)}, {bodies}"


def lost(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """The calls of `old` that `new` does not have."""
    return sorted(set(calls(old)) - set(calls(new)))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} <old image> <new image>")
    images = [FileDescriptorSet.FromString(Path(name).read_bytes()) for name in sys.argv[1:]]
    if gone := lost(*images):
        sys.exit("\n".join(["REST calls that are gone or changed:", *gone]))
