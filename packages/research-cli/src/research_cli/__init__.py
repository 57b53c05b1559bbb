"""Thin commands over the research packages: each is a public function plus printing."""

from importlib.metadata import version

__version__ = version("research-cli")
