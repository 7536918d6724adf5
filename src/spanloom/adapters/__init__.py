"""Adapters: each converts one API's messages to spans and back. No adapter imports another."""
