"""Spanloom's own API: spans and chats in the shapes of proto/spanloom/v1/span.proto."""
