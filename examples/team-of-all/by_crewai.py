"""An agent of CrewAI, which needs other versions than the platform has."""

from crewai import LLM, Agent

from codin import wrap

crewai = Agent(
    role="crewai",
    goal="Sign in for CrewAI: call sign_in once, with your name, and answer with the code.",
    backstory="You answer with codes exactly as they were given.",
    llm=LLM(model="gpt-4o-mini", stream=True),
)
agent = wrap(
    crewai,
    id="crewai",
    description="Signs in with CrewAI, and tells the code.",
    tools=["sign_in"],
)
