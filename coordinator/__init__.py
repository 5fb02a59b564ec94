"""test-coordinator: breaks Docker services on purpose, watches what happens, and always puts things back."""

__version__ = "0.1.0"
