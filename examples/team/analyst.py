"""The analyst: a Google ADK agent that computes with Python in the sandbox."""

from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm

from codin import wrap

INSTRUCTIONS = """\
You compute with Python and pandas; never guess a number. Call run_python with a short script \
that reads the one file the task needs, computes all that the task asks for, and prints every \
result with a label. Take the names of files and columns from what is said of the files. If the \
script fails, mend it and run it again. Then answer the task in its own words with the printed \
results, numbers unchanged.

Two examples of such scripts:
# Which shop took the most money in 2024, and by how much did it beat the next? Draw a chart.
import pandas as pd
import matplotlib.pyplot as plt
t = pd.read_csv("data/shops.csv")
t = t[t["date"].str[:4] == "2024"]
s = t.groupby("shop")["amount"].sum().sort_values(ascending=False)
print("shop that took the most:", s.index[0], s.iloc[0])
print("the next shop:", s.index[1], s.iloc[1])
print("difference:", s.iloc[0] - s.iloc[1])
s.plot.bar()
plt.savefig("chart.png")

# In which month did most guests come, how many were they, and what share of all is that?
import pandas as pd
t = pd.read_csv("data/guests.csv")
s = t.groupby(t["date"].str[:7])["guests"].sum().sort_values(ascending=False)  \
# month: .str[:7], year: .str[:4], hour: .str[11:13]
print("month with the most guests:", s.index[0], s.iloc[0])
print("its share of all guests in percent:", s.iloc[0] / s.sum() * 100)"""

agent = wrap(
    LlmAgent(name="analyst", model=OpenAILlm(model="default"), instruction=INSTRUCTIONS),
    id="analyst",
    name="Analyst",
    description=(
        "Computes with Python (pandas) in a sandbox: filters, sums, averages, rankings, "
        "correlations, statistics, and draws charts as image files. "
        "Returns numbers and file names."
    ),
    tools=["run_python"],
)
