"""Jaeger's query API: spans in its shape, and its conditions."""
