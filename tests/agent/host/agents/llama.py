"""A LlamaIndex agent as people write it."""

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI

from codin import wrap

llama = FunctionAgent(name="llama", llm=OpenAI(model="gpt-4o-mini"), system_prompt="You add.")
agent = wrap(llama, description="Adds.", tools=["add"])
