"""Bridges to other systems: one module each, importing one optional package, behind an extra of the same name."""
