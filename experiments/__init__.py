"""Assemblies of the machine, one file each, and the material and benchmarks that they use."""
