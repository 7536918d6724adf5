"""Which names are those of credentials, and whether bytes may have one at all."""

from __future__ import annotations

import re
from contextvars import ContextVar
from functools import lru_cache
from typing import Final

import re2
from google.protobuf.message import Message

# A name is that of a credential if its last words are one of these, whatever is between the words
# and whether they begin with capitals: `openai_api_key`, `X-Api-Key`, `http.headers.apiKey`.
# "token" alone is not here: most numbers of tokens, and the tokens of pages, are no secrets.
_NAMES: Final = (
    *("api key", "api keys", "access key", "secret key", "private key", "encryption key"),
    *("signing key", "account key", "master key", "ssh key", "auth key", "access token"),
    *("refresh token", "auth token", "session token", "bearer token", "id token"),
    *("security token", "csrf token", "xsrf token", "oauth token", "api token", "bot token"),
    *("secret token", "private token", "deploy token", "service token", "identity token"),
    *("github token", "gitlab token", "hf token", "slack token", "jwt token", "jwt"),
    *("secret", "secrets", "client secret", "app secret", "webhook secret", "secret access key"),
    *("password", "passwords", "db password", "user password", "passwd", "passphrase"),
    *("authorization", "proxy authorization", "auth header", "auth headers"),
    *("cookie", "cookies", "set cookie", "session cookie", "credential", "credentials"),
    *("connection string",),
)
_JOINED: Final = frozenset(name.replace(" ", "") for name in _NAMES)
_MOST_WORDS: Final = max(name.count(" ") + 1 for name in _NAMES)
_LONGEST: Final = 200
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# The bytes of a message without a match have no value under a credential's name: neither a member
# of a map (A, B), nor one of a JSON or Python text inside a text, at any depth of escaping (C), nor
# a parameter of a URL (D), nor a header in a text (E), nor a name whose letters JSON has escaped
# (F).
_ANY_NAME: Final = "|".join(
    sorted({r"[^a-z\x00-\x1f\"'\\]{0,4}".join(name.split()) for name in _NAMES})
)
_KEY: Final = r"0-9a-z_.\-/:$@\x80-\xff"
_MAY_HAVE: Final = (
    rf"[\x0a\x1a][\x03-\xff][\x01-\x03]?[{_KEY}]*(?:{_ANY_NAME})"
    rf"|\x0a[\x03-\xff][\x01-\x03]?[^\x00-\x1f]*(?:{_ANY_NAME})[^a-z]{{0,4}}\x12"
    rf"|[\"'\\][{_KEY} ]*(?:{_ANY_NAME})[^a-z\x00-\x1f\"'\\]{{0,4}}[\"'\\]"
    rf"|[?&][0-9a-z_.\-]*(?:{_ANY_NAME})="
    r"|authorization[^a-z]{1,8}(?:bearer|basic|token)\s"
    r"|\\u00(?:[46][1-9a-f]|[57][0-9a]|2d|5f)"
)


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = False
    options.never_capture = True
    return options


_search = re2.compile(_MAY_HAVE.encode(), _options()).search

# The message of this call whose bytes were found to have no credentials. So a transport that has
# the bytes saves that they are made again.
CLEAN: ContextVar[Message | None] = ContextVar("clean", default=None)


def may_have_credentials(data: bytes) -> bool:
    """Whether a message, in the wire format or in JSON, may have a value under a credential's
    name. It takes about a nanosecond a byte."""
    return _search(data) is not None


@lru_cache(maxsize=4096)
def is_credential(name: str) -> bool:
    """Whether a name is that of a credential."""
    words = [word.lower() for word in _WORD.findall(name[-_LONGEST:])]
    return any("".join(words[-n:]) in _JOINED for n in range(1, min(_MOST_WORDS, len(words)) + 1))
