"""How well agents fit a piece of work, by the words of their descriptions."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from codin.agent.base import AgentInfo

_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_DENIAL = re.compile(r"\b(?:not|never|no|nothing|cannot|can't|doesn't|don't|without)\b", re.I)
_WORD = re.compile(r"[^\W\d_]{3,}")
_ENDING = re.compile(r"(?:at(?:es?|ed|ing|ions?)|ings?|ied|ies|ed|es|e|s|y)$")
_STEM_CHARS = 3
_COMMON = frozenset({
    "and", "the", "for", "with", "from", "that", "this", "into", "its", "are", "was", "has",
    "have", "any", "all", "can", "what", "which", "who", "how", "them", "they", "you", "your",
})  # fmt: skip


class LexicalRanking:
    """Ranks agents for a text by the rare words that it shares with what they say they do.

    Sentences in which a description says what the agent does not do count for nothing.
    """

    def __init__(self, agents: Sequence[AgentInfo]) -> None:
        self._stems = {agent.id: stems(claims(agent)) for agent in agents}
        seen = Counter(stem for found in self._stems.values() for stem in found)
        self._weight = {
            stem: math.log(1 + len(self._stems) / count) for stem, count in seen.items()
        }

    def scores(self, text: str) -> dict[str, float]:
        """For each agent how much of the text's known words it knows: 0 to 1."""
        known = stems(text) & self._weight.keys()
        total = sum(self._weight[stem] for stem in known)
        if not total:
            return dict.fromkeys(self._stems, 0.0)
        return {
            agent: sum(self._weight[stem] for stem in known & own) / total
            for agent, own in self._stems.items()
        }

    def best(self, text: str, most: int) -> list[str]:
        """The ids of the ``most`` agents that fit best, in the order in which they were given."""
        scores = self.scores(text)
        chosen = sorted(scores, key=lambda agent: -scores[agent])[:most]
        return [agent for agent in scores if agent in chosen]


def claims(agent: AgentInfo) -> str:
    """What an agent says it does: name, skills, and its description without what it denies."""
    said = [s for s in _SENTENCE.split(agent.description) if not _DENIAL.search(s)]
    return " ".join([agent.name, *agent.skills, *said])


def stems(text: str) -> frozenset[str]:
    """The words of ``text`` without their endings, so that "charts" meets "chart"."""
    words = (word.casefold() for word in _WORD.findall(text))
    return frozenset(_stem(word) for word in words if word not in _COMMON)


def _stem(word: str) -> str:
    stem = _ENDING.sub("", word)
    return stem if len(stem) >= _STEM_CHARS else word
