"""All tools of the platform, by name, each shown only to those who may call it."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from weakref import WeakKeyDictionary

from jsonschema_rs import Draft202012Validator, ReferencingError, ValidationError, meta

from codin.security import Authorizer, Principal
from codin.tool.base import ToolClash, ToolDefinitionError, ToolError, ToolSpec, UnknownTool
from codin.tool.invocation import RunnableTool

_log = logging.getLogger(__name__)

FIND, DESCRIBE, CALL = FINDING = ("find_tools", "describe_tool", "call_tool")
"""The platform's own names: by these an agent with many tools looks among them."""

# What every provider of models accepts as the name of a function.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}")
_REMEMBERED = 256
_MOST_NAMED = 40
_MOST_COMPARED = 50


@dataclass(frozen=True, slots=True)
class _Entry:
    tool: RunnableTool
    version: tuple[int, ...]
    source: str
    namespace: str


class ToolRegistry:
    """Tools by name, and each name in one version or several.

    A principal sees a tool when it holds ``tool.call:NAME`` and each of the tool's own
    ``permissions``. ``NAME`` alone is the newest version, ``NAME@VERSION`` is that one. The tools
    of a source have a ``namespace``, which stands before their names: ``github_create_issue``.
    """

    def __init__(self, authorizer: Authorizer, tools: Iterable[RunnableTool] = ()) -> None:
        self._authorizer = authorizer
        self._entries: dict[str, list[_Entry]] = {}
        self._visible: dict[Principal, tuple[RunnableTool, ...]] = {}
        self._listening: list[Callable[[], None]] = []
        self._sound: WeakKeyDictionary[RunnableTool, ToolSpec] = WeakKeyDictionary()
        self._reserved: set[str] = set()
        self.revision = 0
        for tool in tools:
            self.register(tool)

    def register(self, tool: RunnableTool, *, source: str = "") -> None:
        """Add ``tool``; ``source`` says where it comes from, in words, such as a file.

        Raises:
            ToolClash: another tool has that name, in that version or of another kind.
            ToolDefinitionError: the name, the version or a schema cannot be used.
        """
        self._take(tool, source or _source_of(tool), "")
        self._changed()

    def replace(
        self, namespace: str, tools: Iterable[RunnableTool], *, source: str = ""
    ) -> tuple[ToolError, ...]:
        """Hold ``tools`` as all that the namespace has, instead of those that it had: at once.

        Gives what is wrong with those of them that cannot be had; the others can. Calls under way
        go on.
        """
        for name in [name for name, entries in self._entries.items() if _is_of(entries, namespace)]:
            del self._entries[name]
        problems: list[ToolError] = []
        for tool in tools:
            try:
                self._check_namespace(tool, namespace)
                self._take(tool, source or f"tools of {namespace}", namespace)
            except ToolError as error:
                problems.append(error)
        self._changed()
        return tuple(problems)

    def prepare(self, tools: Iterable[RunnableTool]) -> None:
        """Look ``tools`` through, in any thread: to take thousands is then a moment's work. What is
        wrong with one is told when it is to be taken."""
        for tool in tools:
            with contextlib.suppress(ToolError):
                self._check_sound(tool)

    def reserve(self, namespaces: Iterable[str]) -> None:
        """Keep the names of ``namespaces`` for them: ``git`` can have no ``git_hub_push`` where
        there is a ``git_hub``, whichever of the two comes first."""
        self._reserved.update(namespaces)

    def unregister(self, name: str) -> None:
        """Forget the tool in all its versions, or ``NAME@VERSION`` alone. Forgetting an unknown one
        does nothing; calls under way go on."""
        plain, at, version = name.partition("@")
        wanted = version_key(version)
        entries = self._entries.pop(plain, [])
        if kept := [entry for entry in entries if at and entry.version != wanted]:
            self._entries[plain] = kept
        self._changed()

    def listen(self, told: Callable[[], None]) -> None:
        """From now on call ``told`` when tools have come or gone. One that fails is told of in the
        log, and keeps nobody else from hearing of it."""
        self._listening.append(told)

    def get(self, principal: Principal, name: str) -> RunnableTool:
        """The newest tool of that name, or ``NAME@VERSION``.

        Raises:
            UnknownTool: there is none, or not for this principal; the message is the same.
        """
        entry = self._entry(principal, name)
        if entry is None:
            raise unknown(name, [tool.spec.name for tool in self.list(principal)])
        return entry.tool

    def find(self, principal: Principal, name: str) -> RunnableTool | None:
        """The tool that ``get`` gives, or ``None``."""
        entry = self._entry(principal, name)
        return entry.tool if entry else None

    def list(self, principal: Principal) -> list[RunnableTool]:
        """The tools that ``principal`` may call, by name, each in its newest version."""
        visible = self._visible.get(principal)
        if visible is None:
            if len(self._visible) >= _REMEMBERED:
                self._visible.clear()
            newest = (entries[0].tool for _, entries in sorted(self._entries.items()))
            visible = tuple(tool for tool in newest if self._allowed(principal, tool))
            self._visible[principal] = visible
        return list(visible)

    def versions(self, principal: Principal, name: str) -> tuple[str, ...]:
        """The versions of the tool ``name`` that ``principal`` may call, newest first."""
        return tuple(
            entry.tool.spec.version
            for entry in self._entries.get(name, ())
            if self._allowed(principal, entry.tool)
        )

    def everything(self) -> Iterator[ToolSpec]:
        """All there is, in all versions: for indices, whose finds are cut to what a caller may."""
        return (entry.tool.spec for entries in self._entries.values() for entry in entries)

    def source(self, principal: Principal, name: str) -> str:
        """Where the tool comes from, in words.

        Raises:
            UnknownTool: as ``get``.
        """
        self.get(principal, name)
        entry = self._entry(principal, name)
        return entry.source if entry else ""

    def namespace(self, name: str) -> str:
        """The namespace of the tool ``name``; empty for one that has none, or is not there."""
        entries = self._entries.get(name.partition("@")[0])
        return entries[0].namespace if entries else ""

    def _entry(self, principal: Principal, name: str) -> _Entry | None:
        plain, at, version = name.partition("@")
        entries = self._entries.get(plain, [])
        if at:
            wanted = version_key(version)
            entries = [entry for entry in entries if entry.version == wanted]
        # Not an older version where the newest is forbidden: it is the newest that was asked for.
        return entries[0] if entries and self._allowed(principal, entries[0].tool) else None

    def _take(self, tool: RunnableTool, source: str, namespace: str) -> None:
        name, version = tool.spec.name, _checked_version(tool, source)
        if not _NAME.fullmatch(name) or name in FINDING:
            raise ToolDefinitionError(
                f"{name!r} ({source}) cannot be the name of a tool: up to 64 letters, digits, '_' "
                f"and '-', beginning with a letter, and none of {', '.join(FINDING)}"
            )
        entries = self._entries.get(name, [])
        for other in entries:
            kin = (other.namespace, other.tool.spec.origin) == (namespace, tool.spec.origin)
            if not kin or other.version == version:
                raise ToolClash(
                    f"two tools are named '{name}': {other.source} and {source}; rename one"
                )
        self._check_sound(tool)
        entry = _Entry(tool, version, source, namespace)
        self._entries[name] = sorted([*entries, entry], key=lambda one: one.version, reverse=True)

    def _check_sound(self, tool: RunnableTool) -> None:
        if self._sound.get(tool) is tool.spec:
            return
        spec = tool.spec
        _check_json(spec)
        _check_schemas(spec)
        self._sound[tool] = spec

    def _check_namespace(self, tool: RunnableTool, namespace: str) -> None:
        name = tool.spec.name
        if not namespace or not name.startswith(f"{namespace}_"):
            raise ToolDefinitionError(
                f"the tool '{name[:80]}' does not begin with '{namespace}_', as the tools of "
                f"{namespace or 'a namespace'} do"
            )
        longer = (one for one in self._reserved if one.startswith(f"{namespace}_"))
        if other := next((one for one in longer if name.startswith(f"{one}_")), None):
            raise ToolDefinitionError(
                f"the tool '{name[:80]}' of {namespace} has a name that only tools of {other} may "
                "have; name one of the two otherwise in codin.toml"
            )

    def _changed(self) -> None:
        self.revision += 1
        self._visible.clear()
        for told in self._listening:
            try:
                told()
            except Exception:
                _log.exception("somebody could not be told that tools have come or gone")

    def _allowed(self, principal: Principal, tool: RunnableTool) -> bool:
        needed = (f"tool.call:{tool.spec.name}", *tool.spec.permissions)
        return all(self._authorizer.allows(principal, permission) for permission in needed)


def unknown(name: str, allowed: Iterable[str], others: str = "") -> UnknownTool:
    """The error for a tool that is not there, or not for the caller: it cannot tell which.
    ``others`` says how to come by the names of others, instead of the names."""
    names = sorted(allowed)
    near = nearest(name, names)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    listed = f"The tools are: {', '.join(names[:_MOST_NAMED]) or 'none'}{more}."
    return UnknownTool(f"there is no tool '{name[:80]}'.{guess} {others or listed}")


def nearest(name: str, names: Iterable[str], *, most: int = 1) -> list[str]:
    """Those of ``names`` that somebody may have meant who wrote ``name``, the likeliest first."""
    return difflib.get_close_matches(name, _likely(name, list(names)), n=most)


@lru_cache(_REMEMBERED)
def version_key(version: str) -> tuple[int, ...]:
    """``version`` to compare by, without zeros at its end: 1.0 is 1. Empty if it is no version."""
    if not _VERSION.fullmatch(version):
        return ()
    return tuple(int(number) for number in re.sub(r"(\.0+)+$", "", version).split("."))


def _likely(name: str, names: list[str]) -> list[str]:
    """Those of ``names`` that share most words with ``name``: comparing letters takes long."""
    if len(names) <= _MOST_COMPARED:
        return names
    words = set(re.split("[_-]", name.lower()))
    shared = {one: len(words.intersection(re.split("[_-]", one.lower()))) for one in names}
    return sorted(names, key=lambda one: -shared[one])[:_MOST_COMPARED]


def _is_of(entries: list[_Entry], namespace: str) -> bool:
    return bool(namespace) and entries[0].namespace == namespace


def _checked_version(tool: RunnableTool, source: str) -> tuple[int, ...]:
    numbers = version_key(tool.spec.version)
    if not numbers:
        raise ToolDefinitionError(
            f"'{tool.spec.name}' ({source}) has the version {tool.spec.version!r}: give up to four "
            "numbers with dots between them, such as 2 or 1.4.0"
        )
    return numbers


def _source_of(tool: RunnableTool) -> str:
    module = getattr(tool, "__module__", "")
    return f"{tool.spec.origin} tool of {module}" if module else f"{tool.spec.origin} tool"


def _check_json(spec: ToolSpec) -> None:
    said = [spec.description, spec.tags, spec.permissions, spec.input_schema, spec.output_schema]
    try:
        json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ToolDefinitionError(
            f"tool '{spec.name}' says something of itself that is no JSON: {str(error)[:200]}"
        ) from error


def _check_schemas(spec: ToolSpec) -> None:
    # Compiled, because not all that is valid can be: a pattern, a reference, the depth. Results
    # are held against their schema loosely: that it is one is enough.
    checks = (
        (partial(Draft202012Validator, offline=True), spec.input_schema),
        (meta.validate, spec.output_schema or {}),
    )
    for check, schema in checks:
        try:
            check(schema)
        except ValidationError as error:
            place = "/".join(map(str, error.instance_path)) or "/"
            raise ToolDefinitionError(
                f"tool '{spec.name}' has a schema that is no JSON Schema 2020-12: "
                f"{error.message[:300]} at {place[:200]}"
            ) from error
        except (ReferencingError, ValueError) as error:
            raise ToolDefinitionError(
                f"tool '{spec.name}' has a schema that cannot be used: {str(error)[:200]}"
            ) from error
    if spec.input_schema.get("type") != "object":
        raise ToolDefinitionError(f"tool '{spec.name}': the input schema has to be of type object")
