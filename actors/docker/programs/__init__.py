"""What runs inside helper containers: files for a bare Python, nothing but its standard library. The coordinator never
imports them; they are copied into the helper image.
"""
