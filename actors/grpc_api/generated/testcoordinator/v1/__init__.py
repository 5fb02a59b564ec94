"""Generated from proto/ by tools/protos.py."""
