"""An agent of Strands as people write them, printing included."""

from strands import Agent
from strands.models.openai import OpenAIModel

from codin import wrap

strand = Agent(OpenAIModel(model_id="any"), system_prompt="You add.", name="strand")
agent = wrap(strand, description="Adds.", tools=["add"])
