"""The edge: one package per actor, each holding its own third-party library."""
