"""All hand-written encoding: JSON, OTLP JSON, and the wire format of Struct and Value."""
