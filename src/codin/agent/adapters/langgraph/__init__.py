"""LangGraph's graphs."""
