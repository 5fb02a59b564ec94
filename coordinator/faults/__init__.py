"""Faults as pure planners: from facts and parameters to commands as values. Nothing here touches an engine."""
