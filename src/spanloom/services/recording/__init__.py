"""Streams of spans that are stored, and what they share with WriteSpans."""
