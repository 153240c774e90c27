"""A step of a plan: what it is given, how its output is checked, and how often it is tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

StepId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
InputName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]

_NULL = {"type": "null"}

ITEM = "item"
"""The input in which each task of a map has its item."""


class Part(BaseModel):
    """A part of a plan, which knows its keys and takes no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Choice(Part):
    """A part of which exactly one key is given, of those in ``one_of``."""

    one_of: ClassVar[tuple[str, ...]]
    nullable: ClassVar[frozenset[str]] = frozenset()
    """Those whose value may be null."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = self.model_fields_set.intersection(self.one_of)
        null = {name for name in given if getattr(self, name) is None}
        if len(given) != 1 or null - self.nullable:
            raise ValueError(f"give one of {', '.join(self.one_of[:-1])} and {self.one_of[-1]}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        found = handler.resolve_ref_schema(handler(schema))
        kinds = {name: dict(kind) for name, kind in found["properties"].items()}
        for name in set(cls.one_of) - cls.nullable:
            kinds[name]["anyOf"] = [one for one in kinds[name]["anyOf"] if one != _NULL]
        one_of = [{"required": [name]} for name in cls.one_of]
        return {**found, "properties": kinds, "oneOf": one_of}


class Binding(Choice):
    """Where a value comes from: the output of a ``step``, an ``input`` of the plan, or the
    ``value`` that stands here. ``field`` is a JSON Pointer (RFC 6901) into it.

    The output of a step is its data, or its text where it gave no data; that of a step with a
    ``map`` is the list of what its items gave, in their order.
    """

    one_of = ("step", "input", "value")
    nullable = frozenset({"value"})

    step: str | None = None
    input: str | None = None
    value: Any = None
    field: str | None = None


class Map(Part):
    """One task for each item of the list ``over``, at most ``parallel`` of them at a time. Each has
    its item in the input ``item``."""

    over: Binding
    parallel: int | None = Field(default=None, ge=1)


class Judge(Part):
    """An agent that is shown the output and says yes, or no and why, to the ``question``."""

    agent: Name
    question: str = Field(min_length=1, max_length=4_000)


class Check(Part):
    """What the output has to be: its data of a JSON ``schema``, its text with a match of the
    regular expression ``pattern`` (without look-around and back references) and with each of the
    texts in ``contains``, and good in the eyes of a ``judge``. All that is given counts."""

    data_schema: Mapping[str, Any] | bool | None = Field(default=None, alias="schema")
    pattern: str | None = Field(default=None, max_length=1_000)
    contains: tuple[str, ...] = ()
    judge: Judge | None = None


class Retry(Part):
    """How often a step is tried in all, and after which types of ``errors`` (when none is named:
    after all that may pass). Before the second attempt ``backoff`` seconds pass, before each later
    one twice those before."""

    attempts: int = Field(default=2, ge=1, le=20)
    backoff: float = Field(default=0.0, ge=0, le=600)
    errors: tuple[str, ...] = ()


class Step(Part):
    """One task for one agent, or one for each item of a ``map``.

    It waits for the steps in ``needs``, whose outputs are told to its agent, and for those that
    ``inputs`` are bound to. ``tools`` are those of its agent's tools that it may use: all of them
    when not given. ``seconds`` bounds an attempt. ``title`` says in a few words what the step
    does, for whoever watches or replaces it; the agent is told the ``instruction``.
    """

    id: StepId
    agent: str
    instruction: str = Field(min_length=1, max_length=20_000)
    needs: tuple[str, ...] = ()
    title: str = Field(default="", max_length=200)
    inputs: Mapping[InputName, Binding] = Field(
        default={}, json_schema_extra={"additionalProperties": False}
    )
    map: Map | None = None
    tools: tuple[Name, ...] | None = None
    check: Check | None = None
    retry: Retry | None = None
    seconds: float | None = Field(default=None, gt=0)

    @property
    def bindings(self) -> Mapping[str, Binding]:
        """What is bound in it, by where that stands."""
        bound = {f"input {name!r}": binding for name, binding in self.inputs.items()}
        return bound if self.map is None else {**bound, "map": self.map.over}

    @property
    def after(self) -> tuple[str, ...]:
        """The steps that have to be done before it: those in ``needs``, and those bound to."""
        bound = (binding.step for binding in self.bindings.values())
        return tuple(dict.fromkeys([*self.needs, *(step for step in bound if step is not None)]))

    def shown(self) -> dict[str, Any]:
        """It as JSON data, with all steps that it waits for as its needs."""
        plain = self.model_dump(mode="json", include={"id", "agent", "instruction", "title"})
        return {**plain, **self.spec, "needs": list(self.after)}

    @property
    def spec(self) -> dict[str, Any]:
        """What is said of it besides id, agent, instruction, needs and title."""
        return self.model_dump(
            mode="json",
            exclude={"id", "agent", "instruction", "needs", "title"},
            exclude_unset=True,
        )
