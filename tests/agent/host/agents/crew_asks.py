"""A crew whose first task is looked at by a human, and whose tool needs approval."""

from crewai import LLM, Agent, Crew, Task
from crewai.hooks import before_tool_call
from crewai.tools import tool

from codin import wrap


@tool("book")
def book(city: str) -> str:
    """Book a trip."""
    return f"booked {city}"


@before_tool_call(tools=["book"])
def approve(context):  # type: ignore[no-untyped-def]
    """Ask before anything is booked."""
    return None if context.request_human_input("Book it?").lower() == "yes" else False


def worker(role: str, **more: object) -> Agent:
    llm = LLM(model="gpt-4o-mini", stream=True)
    return Agent(role=role, goal="Book trips.", backstory="You book trips.", llm=llm, **more)


scout, agent = worker("scout"), worker("agent", tools=[book])
crew_asks = wrap(
    Crew(
        agents=[scout, agent],
        tasks=[
            Task(
                description="Find out: {what}",
                expected_output="A city.",
                agent=scout,
                human_input=True,
            ),
            Task(description="Book it.", expected_output="What was booked.", agent=agent),
        ],
    ),
    id="crew_asks",
    tools=["add"],
)
