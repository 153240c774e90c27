"""An agent of Agno."""

from agno.agent import Agent
from agno.models.openai import OpenAIChat

from codin import wrap

INSTRUCTIONS = (
    "You sign in for Agno. Call sign_in once, with your name. Then answer with the code, exactly "
    "as it was given."
)

agno = Agent(name="agno", model=OpenAIChat(id="default"), instructions=INSTRUCTIONS)
agent = wrap(agno, description="Signs in with Agno, and tells the code.", tools=["sign_in"])
