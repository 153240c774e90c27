"""One adapter a framework, a folder each.

``agent.py`` is the adapter, ``reader.py`` tells what the framework streams, ``pause.py`` is about
runs that ask, ``copy.py`` about what each run has of its own. A framework is imported only when an
agent of it runs.
"""
