"""Sends what is stored on to another receiver of OpenTelemetry."""
