"""The warden: a small process that outlives its coordinator and puts back at once what that left broken.

What waits knows the standard library alone, so that it is small and quick; what takes longer to put back is done by the
same recovery that every start runs, in a process of its own (`coordinator.assembly.recovery_pass`).
"""
