"""Compression of what was sent: zstandard, with a dictionary of the words that instrumentations
write.

A message is about a kilobyte, too short to be compressed well by itself: with the dictionary it
takes half as many bytes. Each frame names its dictionary by an id, so dictionaries can be added;
none is ever changed or removed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from importlib import resources

import zstandard

# The dictionary of what is written now: dictionaries/NUMBER.zdict.
_NEWEST = 1
# Slower levels save a few percent.
_LEVEL = 1

_of_thread = threading.local()


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    file = resources.files("spanloom.store.sql").joinpath(f"dictionaries/{number}.zdict")
    return zstandard.ZstdCompressionDict(file.read_bytes())


@cache
def _ready_dictionary() -> zstandard.ZstdCompressionDict:
    dictionary = _dictionary(_NEWEST)
    dictionary.precompute_compress(level=_LEVEL)
    return dictionary


@cache
def _dictionaries() -> dict[int, zstandard.ZstdCompressionDict]:
    """By the id that frames name."""
    found = (_dictionary(number) for number in range(1, _NEWEST + 1))
    return {dictionary.dict_id(): dictionary for dictionary in found}


def compressed(messages: Sequence[bytes]) -> list[bytes]:
    """Each message, none of them empty, as a frame."""
    try:
        compressor = _of_thread.compressor
    except AttributeError:
        compressor = _of_thread.compressor = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=_ready_dictionary()
        )
    # All in one call, which releases the interpreter's lock once.
    frames = compressor.multi_compress_to_buffer(list(messages)) if messages else ()
    return [frame.tobytes() for frame in frames]


def decompressed(frame: bytes) -> bytes:
    """The message of a frame."""
    number = zstandard.get_frame_parameters(frame).dict_id
    try:
        decompressor = _of_thread.decompressors[number]
    except AttributeError:
        _of_thread.decompressors = {}
        return decompressed(frame)
    except KeyError:
        decompressor = _of_thread.decompressors[number] = zstandard.ZstdDecompressor(
            dict_data=_dictionaries()[number]
        )
    return bytes(decompressor.decompress(frame))


def length(frame: bytes | None) -> int:
    """The length of a frame's message, 0 where that is damaged."""
    try:
        return max(0, zstandard.frame_content_size(frame or b""))
    except zstandard.ZstdError:
        return 0
