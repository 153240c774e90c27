"""How a tool is shown to the embedded model, and in which form the model gives its arguments.

Small coder models write code well as code and badly inside a JSON string. So the one long text
among a tool's arguments (code, the content of a file) is written as a block of its own, and only
what is left is written as JSON, held to the tool's schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CODE_NAMES = {"code": "python", "script": "python", "source": "", "sql": "sql", "command": "sh"}
_TEXT_NAMES = ("content", "text", "body", "markdown", "report")
_DESCRIPTION_CHARS = 400


_MENDED = "# mended, because of "
MENDED = re.compile(rf"^{_MENDED}.*\n")
"""The remark with which code begins that stands in for code that failed."""


@dataclass(frozen=True, slots=True)
class Block:
    """The argument that is written as a block, between ``opening`` and ``closing``."""

    argument: str
    opening: str
    closing: str

    def mended(self, error: str) -> str:
        """How code begins that follows code which ended with ``error``: with what to avoid."""
        if not error or not self.opening.startswith("```python"):
            return ""
        return f"{_MENDED}{error}\n"


@dataclass(frozen=True, slots=True)
class ToolShape:
    """A tool of a chat request, as the embedded model sees it.

    ``schema`` is that of the arguments which are written as JSON, ``None`` when there are none.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    block: Block | None
    schema: Mapping[str, Any] | None

    @classmethod
    def of(cls, tool: Mapping[str, Any]) -> ToolShape:
        """Read one entry of an OpenAI request's ``tools``.

        Raises:
            ValueError: it is no function with a name.
        """
        function = tool.get("function") or {}
        name = function.get("name")
        if tool.get("type", "function") != "function" or not isinstance(name, str) or not name:
            raise ValueError(f"only tools of type function with a name are known, not {tool!r}")
        parameters = function.get("parameters") or {}
        block = _block(parameters)
        description = str(function.get("description") or "")
        return cls(name, description, parameters, block, _json_schema(parameters, block))

    def signature(self) -> str:
        """One line (or a little more) that says what the tool does and takes."""
        properties = self.parameters.get("properties") or {}
        required = self.parameters.get("required") or []
        shown = ", ".join(
            f"{name}{'' if name in required else '?'}: {_type(schema)}"
            for name, schema in properties.items()
        )
        description = " ".join(self.description.split())[:_DESCRIPTION_CHARS]
        return f"- {self.name}({shown}): {description}"

    def written(self, arguments: Mapping[str, Any]) -> str:
        """Arguments in the form in which the model writes them."""
        rest = dict(arguments)
        text = ""
        if self.block is not None and isinstance(rest.get(self.block.argument), str):
            text = self.block.opening + rest.pop(self.block.argument) + self.block.closing
        if self.schema is None:
            return text
        return json.dumps(rest, ensure_ascii=False) + ("\n" + text if text else "")


def _block(parameters: Mapping[str, Any]) -> Block | None:
    properties = parameters.get("properties") or {}
    required = parameters.get("required") or []
    strings = [
        name
        for name, schema in properties.items()
        if name in required and isinstance(schema, dict) and _is_plain_string(schema)
    ]
    for name in strings:
        language = _CODE_NAMES.get(name)
        if language is not None:
            return Block(name, f"```{language}\n", "```")
    for name in _TEXT_NAMES:
        if name in strings:
            return Block(name, f"<{name}>\n", f"</{name}>")
    return None


def _is_plain_string(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "string" and not ({"enum", "const", "pattern"} & schema.keys())


def _json_schema(parameters: Mapping[str, Any], block: Block | None) -> Mapping[str, Any] | None:
    properties = dict(parameters.get("properties") or {})
    if block is not None:
        del properties[block.argument]
    if not properties:
        return None
    required = [name for name in parameters.get("required") or [] if name in properties]
    kept = {key: value for key, value in parameters.items() if key in ("$defs", "definitions")}
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        **kept,
    }


def _type(schema: object) -> str:
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        return "|".join(json.dumps(value) for value in schema["enum"])
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return "|".join(_type(option) for option in options)
    return _plain_type(schema)


def _plain_type(schema: dict[str, Any]) -> str:
    kind = str(schema.get("type") or "any")
    if kind == "array":
        return f"list[{_type(schema.get('items'))}]"
    properties = schema.get("properties")
    if properties:
        return (
            "{" + ", ".join(f"{name}: {_type(value)}" for name, value in properties.items()) + "}"
        )
    return kind
