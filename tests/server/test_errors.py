"""The codes and reasons of errors: the same in Python, in the contract and in google.rpc.Code."""

from __future__ import annotations

import base64
from typing import get_args
from urllib.parse import quote

import grpc
import pytest
from google.rpc import code_pb2

from spanloom.errors import Code, Noun, Reason, SpanloomError, Violation, not_found
from spanloom.server import status
from spanloom.v1 import error_reason_pb2


def test_codes_are_those_of_google_rpc() -> None:
    assert {code.value for code in Code} == set(code_pb2.Code.keys()) - {"OK"}
    assert {code.name for code in Code} == {code.value for code in Code}


def test_reasons_are_those_of_the_contract() -> None:
    names = set(error_reason_pb2.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
    assert {status.REASON_PREFIX + reason for reason in Reason} == names
    assert {reason.name for reason in Reason} == {reason.value for reason in Reason}


def test_every_code_has_a_status_on_each_transport() -> None:
    for code in Code:
        error = SpanloomError(code, Reason.INTERNAL, "why")
        assert status.grpc_code(error).name == code
        assert 400 <= status.http_status(error) < 600
        assert status.rpc_status(error, "id").code == code_pb2.Code.Value(code)
    assert {code.name for code in grpc.StatusCode} - {"OK"} == set(Code)


def test_every_noun_has_a_reason_of_its_own() -> None:
    reasons = {noun: not_found(noun, "x").reason for noun in get_args(Noun)}
    assert reasons == {noun: f"{noun.upper()}_NOT_FOUND" for noun in get_args(Noun)}


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600", "\ud800", "%"])
def test_a_refusal_fits_the_trailers_of_grpc(letter: str) -> None:
    """Peers refuse trailers of more than 8 KiB. The message is percent-encoded, and details are in
    base64."""
    long = letter * 10_000
    error = SpanloomError(
        Code.INVALID_ARGUMENT,
        Reason.INVALID_FIELD,
        long,
        violations=[Violation(long, long)] * 50,
        metadata={f"name{n}": long for n in range(20)},
    )
    written = status.rpc_status(error, "i" * 128)
    message = quote(written.message, safe=" ")
    details = base64.b64encode(written.SerializeToString())
    assert len(message) + len(details) < 8000
    assert len(written.message) > 100
    assert len(status.rest_body(error, "i")) < 20_000
