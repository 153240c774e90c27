"""A CrewAI agent as people write them: no address, no key."""

from crewai import LLM, Agent

from codin import wrap

crew = wrap(
    Agent(
        role="crew",
        goal="Add numbers with your tool.",
        backstory="You add numbers.",
        llm=LLM(model="gpt-4o-mini", stream=True),
    ),
    id="crew",
    tools=["add"],
)
