"""What the planner says to a model.

The examples are about a garden and a kitchen, so that none of their words can leak into a plan;
they come first, so that a model that caches prompts reads them once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from codin.agent.base import AgentInfo
from codin.model.base import ChatMessage

_GOAL_CHARS = 3_000
_FILES_SHOWN = 20

_GROWER = "Plants, waters and harvests vegetables. Does not cook."
_COOK = "Cooks meals from given ingredients. Does not harvest and does not serve."
_WAITER = "Serves finished meals to guests. Does not cook."
_READER = "Opens letters and says what is in them. Does not translate."
_TRANSLATOR = "Translates a given text. Does not open letters."

_SPLIT = """\
Split the request into the jobs that it takes, in the order in which they must be done. Each job \
is a short phrase that begins with a verb, says exactly what is done, and keeps the names and \
numbers of the request.
What has to be looked for, opened or read first is a job of its own, before the job that uses it. \
Two different things to make are two jobs, also where one goes into the other. Whatever has to be \
counted, compared or worked out (how much, how many, which one, whether something differs) is a \
job that begins with "calculate". What the request itself tells need not be looked for. Add \
nothing that is not asked for."""

_SPLIT_EXAMPLES = (
    ("Water the tomatoes in the greenhouse.", ("water the tomatoes in the greenhouse",)),
    (
        "Surprise the guests at table four with a soup of our own carrots.",
        ("harvest our own carrots", "cook a soup from the carrots", "serve the soup at table four"),
    ),
    (
        "What does the letter from Rome say? I only understand English.",
        (
            "open the letter from Rome and read it",
            "translate what the letter says into English",
        ),
    ),
    (
        "A card for aunt Ida, please: we arrived on Sunday, it is 30 degrees, and Tom has learned"
        " to swim.",
        ("write a card to aunt Ida with the three pieces of news",),
    ),
    (
        "Find out which of the hens in the coop laid the fewest eggs in May, and make a poster"
        " about her with a drawing.",
        (
            "look into the coop for the eggs of May",
            "calculate which hen laid the fewest eggs in May",
            "draw a picture of that hen",
            "make a poster about that hen",
        ),
    ),
    (
        "Did we use more flour this week than last week? I do not know in which book it stands.",
        (
            "look for the book in which the flour stands",
            "calculate whether the flour of this week is more than that of last week",
        ),
    ),
    (
        "How many jars of jam did we fill in June, and of which fruit the most? See the cellar"
        " book.",
        (
            "look into the cellar book",
            "calculate how many jars of jam were filled in June, and of which fruit the most",
        ),
    ),
    (
        "Our neighbours would like a list of what grows in our garden.",
        ("look at what grows in our garden", "make a list of what grows in our garden"),
    ),
)

_FIT = (
    "You are told what a member of a team can do, and a job. Say whether this member is the one"
    " who does such a job: Yes or No."
)

_FIT_EXAMPLES = (
    (_COOK, "cook a soup from the carrots", "Yes"),
    (_COOK, "harvest our own carrots", "No"),
    (_GROWER, "harvest our own carrots", "Yes"),
    (_GROWER, "bring the soup to table four", "No"),
    (_WAITER, "bring the soup to table four", "Yes"),
    (_WAITER, "cook a soup from the carrots", "No"),
    (_TRANSLATOR, "find out what the letter says", "No"),
    (_READER, "find out what the letter says", "Yes"),
    (_READER, "put it into English", "No"),
    (_TRANSLATOR, "put it into English", "Yes"),
)

_ASK = """\
You plan work for a team of agents. Break the goal into steps and give each step to the agent \
whose description fits it.
Rules:
- Use as few steps as the goal needs; where one agent can do it all, make one step.
- Use an agent only for what its description says it does.
- An agent sees nothing but its own instruction and the results of the steps it needs. So write \
each instruction so that it can be understood alone: name files, numbers and wishes of the goal.
- `needs` lists the numbers of the earlier steps whose results a step uses, counting from 1. \
Steps that do not need each other run at the same time.
- Add nothing that the goal does not ask for."""


def split(goal: str) -> list[ChatMessage]:
    """Asks which jobs a goal takes. The team is not shown: a small model would invent work for
    whoever is in it."""
    messages = [ChatMessage("system", _SPLIT)]
    for example, jobs in _SPLIT_EXAMPLES:
        messages.append(ChatMessage("user", example))
        messages.append(ChatMessage("assistant", json.dumps({"jobs": jobs})))
    return [*messages, ChatMessage("user", shortened(goal))]


def fit(description: str, job: str) -> list[ChatMessage]:
    """Asks whether a job is an agent's: Yes or No."""
    messages = [ChatMessage("system", _FIT)]
    for example, done, answer in _FIT_EXAMPLES:
        messages.append(ChatMessage("user", _fit_question(example, done)))
        messages.append(ChatMessage("assistant", answer))
    return [*messages, ChatMessage("user", _fit_question(description, job))]


def _fit_question(description: str, job: str) -> str:
    # The job comes last, so that what is said of an agent is read once for all jobs.
    return f"Member: {description}\nJob: {job}\nDoes this member do it?"


def ask(agents: Sequence[AgentInfo], goal: str, files: Sequence[str]) -> list[ChatMessage]:
    """Asks for a whole plan in one answer."""
    team = "\n".join(f"- {agent.id}: {described(agent)}" for agent in agents)
    there = f"\n\n{files_line(files)}" if files else ""
    return [
        ChatMessage("system", f"{_ASK}\n\nThe team:\n{team}"),
        ChatMessage("user", f"Goal: {shortened(goal)}{there}"),
    ]


def mend(answer: str, problems: Sequence[str]) -> list[ChatMessage]:
    """What follows an answer that is no plan."""
    return [
        ChatMessage("assistant", answer),
        ChatMessage(
            "user",
            "This plan cannot be run: " + "; ".join(problems) + ". Give the corrected plan.",
        ),
    ]


def replace(plan: str, step: str, error: str) -> list[ChatMessage]:
    """What follows a plan of which a step has failed."""
    return [
        ChatMessage("assistant", plan),
        ChatMessage(
            "user",
            f"Step {step} has failed: {shortened(error)}\n"
            "Give the steps that are to stand in its place, and no others.",
        ),
    ]


def revise(plan: str, done: Sequence[str], facts: Sequence[str]) -> list[ChatMessage]:
    """What follows a plan that was begun, when something new is known."""
    return [
        ChatMessage("assistant", plan),
        ChatMessage(
            "user",
            f"The steps that are done: {', '.join(done) or 'none'}.\n"
            f"What has come to be known since:\n{listed(facts)}\n"
            "Give the steps that are still to be done now, and no others. What the steps gave that"
            " are done is told to them.",
        ),
    ]


def listed(facts: Sequence[str]) -> str:
    """What has come to be known, a line each."""
    return "\n".join(f"- {shortened(fact)}" for fact in facts)


def files_line(files: Sequence[str]) -> str:
    """The files that are there, in one line."""
    more = len(files) - _FILES_SHOWN
    listed = ", ".join(files[:_FILES_SHOWN])
    return f"Files: {listed}" + (f", and {more} more" if more > 0 else "")


def shortened(text: str, most: int = _GOAL_CHARS) -> str:
    """``text`` in about ``most`` characters: its beginning and its end."""
    text = text.strip()
    if len(text) <= most:
        return text
    return f"{text[: most * 2 // 3]}\n[...]\n{text[-most // 3 :]}"


def described(agent: AgentInfo) -> str:
    """What an agent says it does, in a line."""
    skills = f" Skills: {', '.join(agent.skills).rstrip('.')}." if agent.skills else ""
    return (agent.description.strip() or agent.name) + skills
