"""An ADK agent that looks invoices up."""

from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm

from codin import wrap

INVOICES = {7: "paid on the 3rd of March", 8: "open since the 12th of May"}


def invoice(number: int) -> str:
    """Look an invoice up."""
    return INVOICES.get(number, "there is no such invoice")


billing = LlmAgent(
    name="billing",
    model=OpenAILlm(model="any"),
    instruction="You answer questions about invoices. Look each one up first.",
    tools=[invoice],
)
agent = wrap(
    billing,
    id="billing",
    description="Looks up invoices: whether one is paid or open, and since when.",
)
