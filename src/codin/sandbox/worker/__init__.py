"""The one protocol by which code inside a sandbox is driven.

``client`` is the side that asks; ``_main`` is the program inside. This module imports neither,
because it is loaded inside too, where only msgpack and the standard library are.
"""
