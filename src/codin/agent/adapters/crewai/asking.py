"""Where CrewAI would ask at the terminal, it asks whoever talks to the agent."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from codin.agent.adapters._message import result_text
from codin.agent.adapters.crewai.record import NOTHING, Record, key_of


class Stopped(BaseException):
    """Ends a run of CrewAI's from within, past all that would catch an exception and go on."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a run stopped with. ``key`` is what its answer is recorded as."""

    key: str
    prompt: str
    kind: Literal["input", "approval"]


class Asker:
    """Asks for one run: takes the answer from its record, or ends it with the question."""

    def __init__(self, record: Record) -> None:
        self.question: Question | None = None
        self._record = record
        self._lock = threading.Lock()

    def ask(self, prompt: str, kind: Literal["input", "approval"] = "input") -> Any:
        """The answer, in whatever thread.

        Raises:
            Stopped: it is not there yet.
        """
        key = key_of("person", prompt)
        known = self._record.take(key)
        if known is not NOTHING:
            return known
        with self._lock:
            # Of those who ask at once the first is heard; the others ask again.
            self.question = self.question or Question(key, prompt, kind)
        raise Stopped


current_asker: ContextVar[Asker | None] = ContextVar("codin_crewai_asker", default=None)
"""Who asks for the run in whose context the code runs."""


def listen() -> None:
    """Have all that would read from the terminal ask the current asker, where there is one."""
    from crewai.flow.flow_config import flow_config
    from crewai.hooks.llm_hooks import LLMCallHookContext
    from crewai.hooks.tool_hooks import ToolCallHookContext

    for context in (ToolCallHookContext, LLMCallHookContext):
        if not hasattr(context.request_human_input, "codin_asks"):
            context.request_human_input = _asking(context.request_human_input)
    if flow_config.hitl_provider is None:
        flow_config.hitl_provider = _flow_provider()
    if flow_config.input_provider is None:
        flow_config.input_provider = _flow_provider()


def provider(asker: Asker, before: Sequence[Mapping[str, Any]], images: Sequence[str]) -> Any:
    """CrewAI's provider of human input for a run: it asks for the feedback of tasks, and hands the
    agents the conversation and the images that came with the message."""
    from crewai.core.providers.human_input import SyncHumanInputProvider

    class Once(SyncHumanInputProvider):  # type: ignore[misc]
        """Gives feedback once; what is made of it stands."""

        def __init__(self, said: Any) -> None:
            self._left = ["", "" if _is_content(said) else result_text(said)]

        def _prompt_input(self, crew: Any) -> str:
            return self._left.pop()

        async def _prompt_input_async(self, crew: Any) -> str:
            return self._left.pop()

    class Provider(SyncHumanInputProvider):  # type: ignore[misc]
        def post_setup_messages(self, context: Any) -> None:
            messages = context.messages
            asked = next((i for i, m in enumerate(messages) if m["role"] == "user"), None)
            if asked is None:
                return
            if images:
                shown = [{"type": "image_url", "image_url": {"url": url}} for url in images]
                said = {"type": "text", "text": str(messages[-1]["content"])}
                messages[-1] = {**messages[-1], "content": [said, *shown]}
            messages[asked:asked] = [dict(message) for message in before]

        def handle_feedback(self, formatted_answer: Any, context: Any) -> Any:
            said = asker.ask(_feedback(self._get_output_string(formatted_answer)))
            return Once(said).handle_feedback(formatted_answer, context)

        async def handle_feedback_async(self, formatted_answer: Any, context: Any) -> Any:
            said = asker.ask(_feedback(self._get_output_string(formatted_answer)))
            return await Once(said).handle_feedback_async(formatted_answer, context)

    return Provider()


_CONTENT = frozenset({"", "y", "yes", "ok", "okay", "fine", "good", "approved", "true"})


def _is_content(feedback: Any) -> bool:
    return str(feedback).strip().lower().rstrip(".!") in _CONTENT


def _feedback(made: str) -> str:
    return f"{made}\n\nIs it good as it is (ok), or what should be different?"


def _asking(own: Any) -> Any:
    @functools.wraps(own)
    def request_human_input(self: Any, prompt: str, default_message: str = "") -> str:
        asker = current_asker.get()
        if asker is None:
            return str(own(self, prompt, default_message))
        name = getattr(self, "tool_name", None)
        if name is None:
            return _words(asker.ask(prompt))
        called = f"{name}({result_text(dict(self.tool_input))})"
        before = getattr(self, "tool_result", None) is None
        return _words(asker.ask(f"{prompt}\n{called}", "approval" if before else "input"))

    marked: Any = request_human_input
    marked.codin_asks = True
    return marked


def _words(given: Any) -> str:
    if isinstance(given, Mapping):
        given = given.get("confirmed", given.get("approved", result_text(dict(given))))
    return ("yes" if given else "no") if isinstance(given, bool) else str(given).strip()


def _flow_provider() -> Any:
    from crewai.flow.async_feedback.providers import ConsoleProvider

    class FlowProvider(ConsoleProvider):  # type: ignore[misc]
        def request_feedback(self, context: Any, flow: Any) -> str:
            asker = current_asker.get()
            if asker is None:
                return str(super().request_feedback(context, flow))
            ways = f" ({', '.join(context.emit)})" if context.emit else ""
            shown = result_text(context.method_output)
            return _words(asker.ask(f"{shown}\n\n{context.message}{ways}"))

        def request_input(self, message: str, flow: Any, metadata: Any = None) -> str | None:
            asker = current_asker.get()
            if asker is None:
                answer = super().request_input(message, flow, metadata)
                return None if answer is None else str(answer)
            return _words(asker.ask(message))

    return FlowProvider()
