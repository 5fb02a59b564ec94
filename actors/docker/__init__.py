"""The Docker edge, a library and not an actor: commands through the CLI, facts through the SDK."""
