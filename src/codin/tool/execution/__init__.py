"""How tools are called: by one executor, whatever they are."""
