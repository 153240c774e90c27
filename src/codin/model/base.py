"""The contract of a language model as the platform's own parts use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, overload

from codin.model.catalog import ModelChoice
from codin.security import Principal

T = TypeVar("T")

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one request used: tokens in and out, and wall seconds.

    ``cached_tokens`` is how many of the input tokens the provider did not have to read again.
    """

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class CallContext:
    """For whom a model is asked, and on which task: what the use is metered to."""

    principal: Principal
    task_id: str = ""
    max_tokens: int | None = None


class Meter(ABC):
    """Keeps what runs use. Called once before and once after each request of a model.

    Implementations are safe for concurrent use from one event loop.
    """

    @abstractmethod
    async def allow(self, context: CallContext) -> None:
        """Return when the run may ask the model once more.

        Raises:
            BudgetExceeded: its tokens are used up.
        """

    @abstractmethod
    async def record(self, context: CallContext, usage: ModelUsage) -> None:
        """Keep what one request used. Also called for requests that failed or were cancelled."""


class ModelClient(ABC):
    """Asks one model. Cancelling a call ends the generation at the provider too.

    Every method raises:
        ModelUnavailable: the model cannot be reached, or its process died.
        ModelTimeout: ``timeout`` seconds went by.
        ModelRefused: the provider turned the request down.
        BudgetExceeded: the context's tokens are used up.
    """

    choice: ModelChoice

    @overload
    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> str: ...

    @overload
    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        output: type[T],
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> T: ...

    @abstractmethod
    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        output: type[T] | type[str] = str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> T | str:
        """The model's answer: text, or a validated ``output`` (any type that pydantic knows).

        Args:
            max_tokens: most tokens of the answer.
            timeout: wall seconds for the whole call, repairs included.

        Raises:
            BadModelOutput: nothing that fits ``output`` came, also after being told what was
                wrong.
        """

    @abstractmethod
    def stream(
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[str]:
        """The pieces of a text answer as they come."""


class Weigher(ABC):
    """A model that can say how likely it is to begin its answer with a word, without writing one.

    Cheaper than an answer, and finer: it says how sure the model is. Not every provider tells.
    """

    @abstractmethod
    async def weigh(
        self,
        messages: Sequence[ChatMessage],
        words: Sequence[str],
        *,
        context: CallContext,
        timeout: float | None = None,
    ) -> tuple[float, ...]:
        """The probability of each of ``words`` (short, one token each) as the answer's first,
        whatever its case. They sum to one or less.

        Raises:
            ModelError: as for `ModelClient.generate`.
        """
