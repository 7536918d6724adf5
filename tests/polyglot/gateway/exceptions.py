"""Where other transcoders answer otherwise than Spanloom's REST; docs/gateways.md has the reasons.

Each kind has the names of its cases by transcoder.
"""

from __future__ import annotations

ENVOY, GRPC_GATEWAY = "Envoy", "grpc-gateway"


def _both(*names: str) -> dict[str, tuple[str, ...]]:
    return {ENVOY: names, GRPC_GATEWAY: names}


EXCEPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    # The same status; the transcoder has an error text of its own.
    "Error texts": {
        ENVOY: (
            "int64 with a fraction",
            "int64 too large",
            "int64 as a word",
            "NaN without quotes",
            "a string for a message",
            "an unknown enum value",
            "an enum in small letters",
            "a time that is none",
            "a duration that is none",
            "two members of a oneof",
            "base64 that is none",
            "a lone surrogate",
            "deep nesting",
            "no JSON",
            "text after the body",
            "two documents",
            "a list for the body",
            "null for the body",
            "bytes that are no UTF-8",
            "a form",
            "a bad integer",
            "an empty integer",
            "an integer with a blank",
            "an integer with a fraction",
            "an integer with an exponent",
            "a bad enum",
            "a bad time",
            "a message's name",
            "an unknown path",
            "two slashes",
            "an unknown verb",
        ),
        GRPC_GATEWAY: (
            "int64 with a fraction",
            "int64 too large",
            "int64 as a word",
            "NaN without quotes",
            "a string for a message",
            "a text for a list",
            "a list in a list",
            "a message for a list",
            "a time that is none",
            "a duration that is none",
            "null in a list",
            "two members of a oneof",
            "base64 that is none",
            "a name in both spellings",
            "a lone surrogate",
            "deep nesting",
            "no JSON",
            "text after the body",
            "a list for the body",
            "null for the body",
            "bytes that are no UTF-8",
            "a form",
            "a bad integer",
            "an empty integer",
            "an integer with a blank",
            "an integer with a fraction",
            "an integer with an exponent",
            "a bad enum",
            "a bad time",
            "a single value twice",
            "a boolean as yes",
            "a message's name",
            "an unknown path",
            "a trailing slash",
            "a trailing slash after an id",
            "two slashes",
            "an unknown verb",
        ),
    },
    "Lenient values": {
        ENVOY: (
            "a number for a string",
            "a boolean for a string",
            "a time without a zone",
            "a time as a number",
            "a time with ten digits of a second",
            "a text for a message, vendor's",
            "a byte order mark",
        ),
        GRPC_GATEWAY: (
            "a number for a string",
            "a boolean for a string",
            "a boolean as a text",
            "a time without a zone",
            "a time as a number",
            "a time with ten digits of a second",
            "a name twice",
            "a text for a message, vendor's",
            "a byte order mark",
        ),
    },
    "Encoded bodies": _both("gzip", "an unknown encoding"),
    "Unknown names": {
        ENVOY: ("an unknown field", "an unknown name", "an unknown name, vendor's"),
        GRPC_GATEWAY: (
            "an unknown field",
            "an unknown enum value",
            "an enum in small letters",
            "an unknown name",
            "an unknown name, vendor's",
            "the path's variable again",
        ),
    },
    "A second document": {GRPC_GATEWAY: ("two documents",)},
    "Values given twice": {
        ENVOY: (
            "a name in both spellings",
            "a single value twice",
            "the path's variable again",
        ),
    },
    "Loose types": {
        ENVOY: (
            "a text for a list",
            "a list in a list",
            "a message for a list",
            "a boolean as yes",
        ),
    },
    "Field masks": {GRPC_GATEWAY: ("update by a mask of JSON names",)},
    "Streams": {GRPC_GATEWAY: ("outline a trace", "stream events")},
    "Wrong methods": _both("GET for POST", "PUT for POST", "PATCH for GET", "HEAD", "OPTIONS"),
    "Trailing slashes": {
        ENVOY: (
            "a trailing slash",
            "a trailing slash before an id",
            "a trailing slash after an id",
        ),
        GRPC_GATEWAY: ("a trailing slash before an id",),
    },
    "Escapes in paths": {
        ENVOY: ("an encoded letter",),
        GRPC_GATEWAY: ("an encoded slash in an id", "an encoded letter", "a bad escape"),
    },
}
