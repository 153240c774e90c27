"""Charts: the image that was drawn, and the data behind it."""

import base64

from e2b_code_interpreter import Sandbox

CODE = """
import matplotlib.pyplot as plt

authors = ["Ada", "Bo", "Cy"]
plt.figure(figsize=(6, 4))
plt.bar(authors, [120, 80, 200], label="Books sold")
plt.title("Sales by author")
plt.xlabel("Authors")
plt.ylabel("Sold (pieces)")
plt.show()

plt.plot([2023, 2024, 2025], [1.0, 2.5, 4.0], label="growth")
plt.title("Growth")
plt.show()
"""

with Sandbox.create() as sandbox:
    execution = sandbox.run_code(CODE)
    for result in execution.results:
        image = base64.b64decode(result.png)
        print(result.chart.type.value, "-", result.chart.title, "-", image[1:4].decode())
    bars, line = (result.chart for result in execution.results)
    print([(bar.label, bar.value, bar.group) for bar in bars.elements])
    print(bars.x_label, "/", bars.y_label, "/", bars.y_unit)
    print(line.elements[0].label, line.elements[0].points)
