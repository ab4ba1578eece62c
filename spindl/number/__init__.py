"""The arithmetic: formats, rounding, exponents, tables, random bits. Imports nothing of spindl."""
