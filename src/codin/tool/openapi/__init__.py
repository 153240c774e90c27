"""Operations of APIs that are described in OpenAPI, as tools."""

from codin.tool.openapi.compile import Compiled, Skipped, compile_document
from codin.tool.openapi.document import Document, read_document
from codin.tool.openapi.errors import OpenApiError, UnusableOperation
from codin.tool.openapi.operation import Operation
from codin.tool.openapi.source import OpenApiSource
from codin.tool.openapi.tool import OpenApiTool

__all__ = [
    "Compiled",
    "Document",
    "OpenApiError",
    "OpenApiSource",
    "OpenApiTool",
    "Operation",
    "Skipped",
    "UnusableOperation",
    "compile_document",
    "read_document",
]
