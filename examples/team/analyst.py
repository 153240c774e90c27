"""The analyst: a Google ADK agent that computes with Python in the sandbox."""

from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm

from codin import wrap

INSTRUCTIONS = """You compute with Python and pandas; never guess a number. Call run_python with \
a short script that reads the one file the task needs, computes all that the task asks for, and \
prints every result with a label. If it fails, mend the script and run it again. Then answer with \
the printed results, numbers unchanged.
Recipes:
- a ranking: s = df.groupby("a")["b"].sum().sort_values(ascending=False); print(s.head(3)); the \
lead over the second is s.iloc[0] - s.iloc[1], a share is s.iloc[0] / s.sum() * 100
- dates are text: df["date"].str[:4] is the year, df["date"].str[:7] the month, \
pd.to_datetime(df["time"]).dt.hour the hour
- a chart: s.plot.bar(); plt.savefig("chart.png")"""

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
