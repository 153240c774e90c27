"""The analyst: a Google ADK agent that computes with Python in the sandbox."""

from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm

from codin import wrap

INSTRUCTIONS = """You compute with Python and pandas; never guess a number. Call run_python with \
a short script that reads the one file the task needs, computes all that the task asks for, and \
prints every result with a label. If it fails, mend the script and run it again. Then answer with \
the printed results, numbers unchanged.
Recipes (t is the table, c a column of it):
- ranking: s = t.groupby(c)[v].sum().sort_values(ascending=False); print(s.head(3)). The first is \
s.index[0] with s.iloc[0], the second s.index[1] with s.iloc[1], the lead s.iloc[0] - s.iloc[1], \
the share of the first s.iloc[0] / s.sum() * 100
- a date or time column is text: t["year"] = t[c].str[:4], t["month"] = t[c].str[:7], \
t["hour"] = t[c].str[11:13]; then group by that
- chart: s.plot.bar(); plt.savefig("chart.png")"""

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
