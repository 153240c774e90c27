"""A little identity provider: discovery and keys over HTTP, and tokens signed by it."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CONFIGURATION = "/.well-known/openid-configuration"

MADE = {
    "RS256": lambda kid: RSAKey.generate_key(2048, {"kid": kid}),
    "ES256": lambda kid: ECKey.generate_key("P-256", {"kid": kid}),
    "EdDSA": lambda kid: OKPKey.generate_key("Ed25519", {"kid": kid}),
}


class Issuer:
    """Signs with the last of its keys; counts what it is asked."""

    def __init__(self) -> None:
        self.url = ""
        self.algorithm = "ES256"
        self.keys: list[Key] = []
        self.asked: list[str] = []
        self.document: dict[str, Any] = {}
        self.broken = False
        self.rotate()

    def rotate(self, algorithm: str | None = None, *, keep: bool = False) -> None:
        self.algorithm = algorithm or self.algorithm
        kept = self.keys if keep else []
        self.keys = [*kept, MADE[self.algorithm](f"k{time.monotonic_ns()}")]

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        now = int(time.time())
        said = {"iss": self.url, "aud": "codin", "sub": "u1", "iat": now, "exp": now + 60}
        said |= claims
        full = {"alg": self.algorithm, "kid": self.keys[-1].kid, **(header or {})}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return jwt.encode(
                full,
                {key: value for key, value in said.items() if value is not None},
                self.keys[-1],
                algorithms=[self.algorithm],
            )

    async def configuration(self, request: Request) -> Response:
        self.asked.append("configuration")
        document = {
            "issuer": self.url,
            "jwks_uri": self.url + "/keys",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "HS256", "none"],
        }
        return JSONResponse(document | self.document)

    async def key_set(self, request: Request) -> Response:
        self.asked.append("keys")
        if self.broken:
            return Response(status_code=500)
        unknown = {"kty": "PQ", "kid": "new", "x": "AA"}
        public = [key.as_dict(private=False) for key in self.keys]
        return JSONResponse({"keys": [unknown, {"kty": "EC"}, *public]})


@asynccontextmanager
async def served(issuer: Issuer) -> AsyncIterator[Issuer]:
    app = Starlette(
        routes=[
            Route(CONFIGURATION, issuer.configuration),
            Route("/keys", issuer.key_set),
        ]
    )
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    issuer.url = f"http://127.0.0.1:{port}"
    try:
        yield issuer
    finally:
        server.should_exit = True
        await running
