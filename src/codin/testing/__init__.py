"""Conformance suites and fakes that ship with the library."""
