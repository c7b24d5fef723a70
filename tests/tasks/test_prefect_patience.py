"""Calls to a Prefect server that is away for a while."""

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from fleet.dispatch_errors import DispatchTroubleError
from tasks.prefect_calls import ask
from tasks.prefect_patience import patiently

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]


def test_a_server_that_is_away_is_asked_again_and_an_answer_is_an_answer() -> None:
    request = httpx.Request("GET", "http://127.0.0.1/api")

    def answer(code: int) -> Exception:
        response = httpx.Response(code, request=request)
        return PrefectHTTPStatusError("x", request=request, response=response)

    troubles: list[Exception] = [answer(503), httpx.ReadError("x"), answer(500), answer(429)]

    def call(_client: object) -> str:
        if troubles:
            raise troubles.pop(0)
        return "here"

    assert patiently(call, rest=0) == "here"
    troubles.append(answer(404))
    with pytest.raises(PrefectHTTPStatusError):
        patiently(call, rest=0)
    troubles.append(answer(503))
    with pytest.raises(DispatchTroubleError, match="takes them up"):
        patiently(call, rest=0, patience=-1)


def test_small_requests_outlast_a_server_that_is_away_and_no_rest_of_the_client_is_long() -> None:
    """With 15 tries, which a fleet needs elsewhere, its last rest would be nine hours."""
    troubles: list[Exception] = [httpx.ConnectError("x"), httpx.ReadError("x")]

    def call(_client: object) -> int:
        if troubles:
            raise troubles.pop(0)
        return int(PREFECT_CLIENT_MAX_RETRIES.value())

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 15}):
        assert ask(call) == 2
        assert PREFECT_CLIENT_MAX_RETRIES.value() == 15
    troubles.append(httpx.ConnectError("x"))
    with pytest.raises(httpx.ConnectError):
        ask(call, patience=0)
