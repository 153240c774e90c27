"""What the bodies of operations become: which media type of several, and how its fields go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codin.tool.openapi.body import (
    FILE_SCHEMA,
    Body,
    Field,
    FileBody,
    FormBody,
    JsonBody,
    MultipartBody,
    TextBody,
    is_json,
)
from codin.tool.openapi.errors import UnusableOperation
from codin.tool.openapi.schemas import Schemas, described

_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


class Bodies:
    """Compiles the bodies of one document."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def compiled(self, argument: str, raw: Any) -> tuple[Body, dict[str, Any]]:
        """The body that is called ``argument``, and its schema.

        Raises:
            UnusableOperation: it cannot be written.
        """
        if not isinstance(raw, Mapping) or not isinstance(raw.get("content"), Mapping):
            raise UnusableOperation("its request body has no content")
        content = raw["content"]
        if not content:
            raise UnusableOperation("its request body has no media type")
        required = raw.get("required") is True
        media_type, media = self._preferred(content)
        schema = media.get("schema", {}) if isinstance(media, Mapping) else {}
        encoding = media.get("encoding") if isinstance(media, Mapping) else None
        plain = media_type.partition(";")[0].strip().lower()
        about = raw.get("description")
        about = about if isinstance(about, str) else ""
        if is_json(plain):
            made = described(self._schemas.convert(schema), about)
            return JsonBody(argument, media_type, required), made
        if plain in {_FORM, _MULTIPART}:
            fields, shown = self._form(schema, encoding, files=plain == _MULTIPART)
            kind = MultipartBody if plain == _MULTIPART else FormBody
            return kind(argument, media_type, required, fields), described(shown, about)
        if plain.startswith("text/") or "xml" in plain:
            return TextBody(argument, media_type, required), {
                "type": "string",
                "description": about,
            }
        return FileBody(argument, media_type, required), FILE_SCHEMA

    @staticmethod
    def _preferred(content: Mapping[str, Any]) -> tuple[str, Any]:
        """JSON before forms, forms before what is no structure."""

        def rank(media_type: str) -> int:
            plain = media_type.partition(";")[0].strip().lower()
            order = [is_json(plain), plain == _MULTIPART, plain == _FORM, plain.startswith("text/")]
            return order.index(True) if any(order) else len(order)

        best = min(content, key=lambda kind: rank(str(kind)))
        return str(best), content[best]

    def _form(
        self, schema: Any, encoding: Any, *, files: bool
    ) -> tuple[dict[str, Field], dict[str, Any]]:
        shown = self._schemas.convert(self._merged(schema))
        encodings = encoding if isinstance(encoding, Mapping) else {}
        fields: dict[str, Field] = {}
        properties = dict(shown.get("properties") or {})
        raw = self._merged(schema).get("properties") or {}
        for name in properties:
            how = encodings.get(name)
            how = how if isinstance(how, Mapping) else {}
            kind = how.get("contentType")
            is_file, many = self._is_file(raw.get(name)) if files else (False, False)
            if is_file:
                properties[name] = {"type": "array", "items": FILE_SCHEMA} if many else FILE_SCHEMA
            one = str(kind).partition(",")[0].strip() if kind else None
            explode = how.get("explode")
            fields[name] = Field(
                media_type=None if one is None or "*" in one else one,
                style=how.get("style"),
                explode=True if explode is None else bool(explode),
                is_file=is_file,
            )
        return fields, {**shown, "type": "object", "properties": properties}

    def _merged(self, schema: Any) -> dict[str, Any]:
        """A form's schema as one object, also where it is made of several."""
        found = dict(self._schemas.followed(schema))
        for part in found.pop("allOf", None) or ():
            inner = self._merged(part)
            properties = {**(found.get("properties") or {}), **(inner.get("properties") or {})}
            needed = [*(found.get("required") or ()), *(inner.get("required") or ())]
            found = {**inner, **found, "properties": properties}
            if needed:
                found["required"] = list(dict.fromkeys(needed))
        return found

    def _is_file(self, schema: Any) -> tuple[bool, bool]:
        """Whether a property is a file, and whether it is a list of them."""
        found = self._schemas.followed(schema)
        if found.get("type") == "array":
            return self._is_file(found.get("items"))[0], True
        text = found.get("type") in {"string", None} or found.get("type") == ["string", "null"]
        octets = found.get("format") == "binary" or (
            "contentMediaType" in found and "contentEncoding" not in found
        )
        return text and octets, False
