"""An agent of LlamaIndex, in an environment of its own."""

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI

from codin import wrap

INSTRUCTIONS = (
    "You sign in for LlamaIndex. Call sign_in once, with your name. Then answer with the code, "
    "exactly as it was given."
)

llama_index = FunctionAgent(
    name="llama-index", llm=OpenAI(model="gpt-4o-mini"), system_prompt=INSTRUCTIONS
)
agent = wrap(
    llama_index, description="Signs in with LlamaIndex, and tells the code.", tools=["sign_in"]
)
