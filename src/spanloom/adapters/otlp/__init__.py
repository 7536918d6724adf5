"""OpenTelemetry's shape: OTLP spans, read by conventions and given back as they were sent."""
