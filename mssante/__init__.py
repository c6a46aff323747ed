"""MSSanté and IHE XDM for Python: usable alone."""
