"""OTLP/JSON: protobuf's JSON mapping with ids in hex and enums as integers.

The tables are made from the descriptors, once. Source: opentelemetry.io/docs/specs/otlp, JSON
Protobuf Encoding; protobuf.dev, ProtoJSON Format.
"""

from __future__ import annotations

from spanloom.codec.otlp_parse import parse, parse_logs, parse_metrics
from spanloom.codec.otlp_print import to_json

__all__ = ["parse", "parse_logs", "parse_metrics", "to_json"]
