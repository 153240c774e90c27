"""What a caller is told while the database cannot be used."""

from __future__ import annotations

import grpc
import httpx
import pytest
from a2a.types import SendMessageRequest
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from a2a_calls import V1, message, rpc
from google.protobuf.json_format import ParseDict

from codin.gateway.grpc import GrpcServer
from codin.task import LogError
from codin.testing.serving import Served


async def test_a_database_that_is_away_is_said_over_every_binding(
    served: Served, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise LogError("the task log in /home/codin.db cannot be used: database or disk is full")

    for name in ("create", "tasks"):
        monkeypatch.setattr(served.log, name, away)
    said = "the platform's database cannot be used at the moment"
    request = {"message": message("1")}
    rpc_answer = (await http.post("/", json=rpc("SendMessage", request), headers=V1)).json()
    assert rpc_answer["error"]["code"] == -32603
    assert said in rpc_answer["error"]["message"]
    rest = await http.post("/message:send", json=request, headers=V1)
    assert (rest.status_code, rest.json()["error"]["status"]) == (503, "UNAVAILABLE")
    assert said in rest.json()["error"]["message"]
    page = await http.get("/api/tasks")
    assert (page.status_code, page.json()["error"]["code"]) == (503, "unavailable")
    async with (
        GrpcServer(served.parts, port=0) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        sent = ParseDict(request, SendMessageRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await A2AServiceStub(channel).SendMessage(sent, metadata=(("a2a-version", "1.0"),))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert said in str(caught.value.details())
    for answer in (rpc_answer, rest.text, page.text, caught.value.details()):
        assert "/home" not in str(answer), "nothing of the inside"
