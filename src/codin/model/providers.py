"""Hosted models and Ollama as the platform's own parts ask them, through pydantic-ai."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from codin.model._deadline import limited
from codin.model.base import CallContext, ChatMessage, Meter, ModelClient, ModelUsage
from codin.model.catalog import ModelChoice, api_key
from codin.model.errors import (
    BadModelOutput,
    ModelError,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
)

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.usage import RunUsage

T = TypeVar("T")

_REPAIRS = 2


class ProviderClient(ModelClient):
    """Asks a hosted model or Ollama. pydantic-ai is imported by the first call."""

    def __init__(self, choice: ModelChoice, meter: Meter) -> None:
        self.choice = choice
        self._meter = meter
        self._model: Model | None = None

    async def generate(  # type: ignore[override]
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        output: type[T] | type[str] = str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> T | str:
        agent, history, prompt = self._prepared(messages, output)
        settings = _settings(max_tokens, temperature)
        async with self._asked(context, timeout) as usage, asyncio.timeout(timeout):
            result = await agent.run(
                prompt, message_history=history, model_settings=settings, usage=usage
            )
        return cast("T", result.output)

    async def stream(
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[str]:
        agent, history, prompt = self._prepared(messages, str)
        settings = _settings(max_tokens, temperature)
        async with self._asked(context, timeout) as usage:
            pieces = _pieces(agent, prompt, history, settings, usage)
            async with aclosing(limited(pieces, timeout)) as items:
                async for piece in items:
                    yield piece

    def _prepared(
        self, messages: Sequence[ChatMessage], output: Any
    ) -> tuple[Agent[object, Any], list[ModelMessage], str]:
        from pydantic_ai import Agent, NativeOutput

        if self._model is None:
            self._model = _model(self.choice)
        # Ollama's models call tools badly, but hold to a schema.
        native = output is not str and self.choice.provider == "ollama"
        wanted = NativeOutput(output) if native else output
        agent: Agent[object, Any] = Agent(self._model, output_type=wanted, retries=_REPAIRS)
        history, prompt = _history(messages)
        return agent, history, prompt

    @asynccontextmanager
    async def _asked(self, context: CallContext, timeout: float | None) -> AsyncIterator[RunUsage]:
        """Meters what happens inside, and turns its errors into this package's."""
        from pydantic_ai.usage import RunUsage

        await self._meter.allow(context)
        usage = RunUsage()
        started = time.monotonic()
        try:
            yield usage
        except (Exception, asyncio.CancelledError) as error:
            told = translated(error, self.choice.label or str(self.choice), timeout)
            if told is None:
                raise
            raise told from error
        finally:
            await self._meter.record(
                context,
                ModelUsage(
                    self.choice.name,
                    usage.input_tokens,
                    usage.output_tokens,
                    time.monotonic() - started,
                    usage.cache_read_tokens,
                ),
            )


def translated(error: BaseException, place: str, timeout: float | None) -> ModelError | None:
    """What went wrong at ``place``, as this package's error; ``None`` where that is not known."""
    from pydantic_ai import exceptions

    if isinstance(error, TimeoutError):
        return ModelTimeout(f"{place} did not finish within {timeout} s")
    if isinstance(error, exceptions.ModelHTTPError):
        return ModelRefused(f"{place}: {error.message}", status=error.status_code)
    if isinstance(error, exceptions.ModelAPIError):
        return ModelUnavailable(f"{place} cannot be reached: {error.message}")
    if isinstance(error, exceptions.UnexpectedModelBehavior):
        return BadModelOutput(f"{place} gave nothing usable: {error.message}")
    if isinstance(error, exceptions.UserError):
        return ModelRefused(f"{place}: {error.message}")
    return None


async def _pieces(
    agent: Agent[object, Any],
    prompt: str,
    history: list[ModelMessage],
    settings: ModelSettings,
    usage: RunUsage,
) -> AsyncGenerator[str]:
    async with agent.run_stream(
        prompt, message_history=history, model_settings=settings, usage=usage
    ) as result:
        async for piece in result.stream_text(delta=True, debounce_by=None):
            yield piece


def _model(choice: ModelChoice) -> Model:
    key = api_key(choice)
    if choice.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(choice.name, provider=AnthropicProvider(api_key=key))
    if choice.provider == "google":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(choice.name, provider=GoogleProvider(api_key=key or ""))
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    # Servers without keys still want the header.
    provider = OpenAIProvider(base_url=choice.base_url, api_key=key or "none")
    return OpenAIChatModel(choice.name, provider=provider)


def _settings(max_tokens: int | None, temperature: float | None) -> ModelSettings:
    from pydantic_ai.settings import ModelSettings

    settings = ModelSettings()
    if max_tokens is not None:
        settings["max_tokens"] = max_tokens
    if temperature is not None:
        settings["temperature"] = temperature
    return settings


def _history(messages: Sequence[ChatMessage]) -> tuple[list[ModelMessage], str]:
    """What stands before the newest user message, and that message."""
    from pydantic_ai import messages as m

    if not messages or messages[-1].role != "user":
        raise ModelRefused("the last message has to be the user's")
    history: list[ModelMessage] = []
    for message in messages[:-1]:
        if message.role == "assistant":
            history.append(m.ModelResponse(parts=[m.TextPart(message.content)]))
        elif message.role == "system":
            history.append(m.ModelRequest(parts=[m.SystemPromptPart(message.content)]))
        else:
            history.append(m.ModelRequest(parts=[m.UserPromptPart(message.content)]))
    return history, messages[-1].content
