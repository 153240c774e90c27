"""Whom a router gives a message, and when it gives it to nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from codin.agent.a2a import user_message
from codin.agent.base import Agent, AgentInfo, Task
from codin.agent.events import Completed, Failed, HandOff, Rejected
from codin.agent.router import NoRoute, Router, choice_type, router_info
from codin.model import (
    BadModelOutput,
    CallContext,
    ChatMessage,
    ModelChoice,
    ModelClient,
    ModelUnavailable,
    Weigher,
)
from codin.security import LOCAL_USER, Principal

COUNTER = AgentInfo("counter", "Counter", "Counts apples and pears. Never writes poems.")
POET = AgentInfo("poet", "Poet", "Writes poems and songs.")
COOK = AgentInfo("cook", "Cook", "Cooks meals.")
ALL = (COUNTER, POET, COOK)


class Oracle(ModelClient):
    """Answers in turn; an exception among the answers is raised."""

    def __init__(self, *answers: object) -> None:
        self.choice = ModelChoice("openai", "oracle")
        self.answers = list(answers)
        self.asked: list[Sequence[ChatMessage]] = []
        self.contexts: list[CallContext] = []

    async def generate(  # type: ignore[override]
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        output: type[Any] = str,
        **_: object,
    ) -> Any:
        self.asked.append(messages)
        self.contexts.append(context)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        try:
            return TypeAdapter(output).validate_python(answer)
        except ValidationError as error:
            raise BadModelOutput("no valid output") from error

    def stream(self, messages: Sequence[ChatMessage], **_: object) -> AsyncIterator[str]:
        raise NotImplementedError


class Sure(Oracle, Weigher):
    """Also says how sure it is of a yes, by what it is asked."""

    def __init__(self, yes: Callable[[str], float]) -> None:
        super().__init__()
        self.yes = yes

    async def weigh(
        self,
        messages: Sequence[ChatMessage],
        words: Sequence[str],
        *,
        context: CallContext,
        timeout: float | None = None,
    ) -> tuple[float, ...]:
        sure = self.yes(messages[-1].content)
        return sure, 1 - sure


def router(
    model: ModelClient | None = None,
    *,
    agents: Sequence[str] = ("counter", "poet", "cook"),
    known: Sequence[AgentInfo] = ALL,
) -> Router:
    return Router(router_info("desk", None, None), agents, lambda _: known, model)


def task(text: str, by: Principal = LOCAL_USER) -> Task:
    return Task("t", "c", user_message(text), by)


async def test_a_description_that_stands_out_decides_without_the_model() -> None:
    model = Oracle()
    chosen = await router(model).choose("How many apples and pears?", LOCAL_USER)
    assert chosen == COUNTER
    assert model.asked == []


async def test_what_an_agent_says_that_it_does_not_do_is_no_match() -> None:
    chosen = await router().choose("One of your poems", LOCAL_USER)
    assert chosen == POET


async def test_one_word_in_common_is_not_enough_where_a_model_can_be_asked() -> None:
    model = Oracle({"agent": "cook"})
    chosen = await router(model).choose("A pie, with three apples", LOCAL_USER, task_id="t")
    assert chosen == COOK
    [system, user] = model.asked[0]
    assert "- counter: Counts apples" in system.content
    assert user.content == "A pie, with three apples"
    assert (model.contexts[0].principal, model.contexts[0].task_id) == (LOCAL_USER, "t")


@pytest.mark.parametrize("text", ["What is the weather?", "Apples in poems"])
async def test_a_tie_or_no_match_without_a_model_is_refused_with_who_there_is(text: str) -> None:
    with pytest.raises(NoRoute) as refused:
        await router().choose(text, LOCAL_USER)
    assert "desk gives this to nobody: no description stands out" in str(refused.value)
    for info in ALL:
        assert f"{info.id} ({info.description})" in str(refused.value)


@pytest.mark.parametrize(
    "answer", [{"agent": "none"}, {"agent": "desk"}, {"agent": "boss"}, BadModelOutput("prose")]
)
async def test_a_model_that_names_nobody_there_is_gives_it_to_nobody(answer: object) -> None:
    with pytest.raises(NoRoute, match="none of its agents does what this asks for"):
        await router(Oracle(answer)).choose("What is the weather?", LOCAL_USER)


async def test_a_model_that_tells_how_sure_it_is_is_asked_for_that() -> None:
    model = Sure(lambda asked: 0.9 if "Cooks meals" in asked else 0.2)
    assert await router(model).choose("I am hungry", LOCAL_USER) == COOK
    with pytest.raises(NoRoute):
        await router(Sure(lambda _: 0.3)).choose("I am hungry", LOCAL_USER)


async def test_only_agents_of_its_own_that_the_caller_may_use_are_looked_at() -> None:
    model = Oracle({"agent": "poet"}, {"agent": "poet"})
    for limited in (
        router(model, agents=("counter", "cook")),
        router(model, known=(COUNTER, COOK)),
    ):
        with pytest.raises(NoRoute) as refused:
            await limited.choose("Write songs and poems", LOCAL_USER)
        assert "poet" not in str(refused.value)
    assert all("poet" not in asked[0].content for asked in model.asked)


async def test_it_never_chooses_itself() -> None:
    desk = router_info("desk", None, "Writes songs and poems.")
    made = Router(desk, ("desk", "cook"), lambda _: (desk, COOK), None)
    with pytest.raises(NoRoute):
        await made.choose("Write songs and poems", LOCAL_USER)
    alone = Router(desk, ("desk",), lambda _: (desk,), None)
    with pytest.raises(NoRoute, match="no agent that 'local' may use"):
        await alone.choose("Write songs and poems", LOCAL_USER)


async def test_it_is_an_agent_whose_answer_is_a_hand_off() -> None:
    made = router()
    assert isinstance(made, Agent)
    events = [event async for event in await made.handle(task("Count apples and pears"))]
    assert events == [HandOff(from_agent="desk", to_agent="counter"), Completed()]
    [refused] = [event async for event in await made.handle(task("What is the weather?"))]
    assert isinstance(refused, Rejected)
    lost = router(Oracle(ModelUnavailable("the model is away")))
    [failed] = [event async for event in await lost.handle(task("What is the weather?"))]
    assert failed == Failed(error_type="ModelUnavailable", message="the model is away")


def test_the_model_can_name_nobody_else() -> None:
    schema = TypeAdapter(choice_type(["a", "b"])).json_schema()
    assert schema["properties"]["agent"]["enum"] == ["a", "b", "none"]
