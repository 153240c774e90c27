"""Three agents that ask no model: they know the gauges of a river, read one, and report."""

import json

from codin import wrap

LEVELS = {
    "upper": {"Ulm": 142, "Donauwoerth": 187},
    "lower": {"Passau": 512, "Linz": 431, "Krems": 338, "Vienna": 296},
}
asked = set()


class Busy(Exception):
    """The gauge is being read by somebody else."""


async def know(task):
    """The gauges of the reach in the input, as data."""
    return json.dumps({"gauges": list(LEVELS[task.inputs["reach"]])})


async def read(task):
    """The level at one gauge, which is busy when it is asked first."""
    place = task.inputs["item"]
    if (place, task.context_id.rpartition(".")[0]) not in asked:
        asked.add((place, task.context_id.rpartition(".")[0]))
        raise Busy(f"the gauge at {place} is busy")
    (level,) = [levels[place] for levels in LEVELS.values() if place in levels]
    return json.dumps({"place": place, "level": level})


async def report(task):
    """What is highest, and all that was read."""
    levels = task.inputs["levels"]
    top = max(levels, key=lambda one: one["level"])
    read = ", ".join(f"{one['place']} {one['level']}" for one in levels)
    return f"The river is highest at {top['place']}: {top['level']} cm. Read were {read}."


atlas = wrap(know, id="atlas", description="Knows the gauges of a river.")
gauge = wrap(read, id="gauge", description="Reads the level of a river at one gauge.")
reporter = wrap(report, id="reporter", description="Reports what was read at gauges.")
