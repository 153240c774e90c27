"""The language model that comes with the platform: its weights, its process, its tool calling."""
