"""What can I try it on? An onOffice to play with, and to break. Imports nothing of unlinker's."""

from sandbox.options import DEFAULT_SECRET, DEFAULT_TOKEN, SandboxAccount, SandboxOptions
from sandbox.server import Sandbox, serve

__all__ = ["DEFAULT_SECRET", "DEFAULT_TOKEN", "Sandbox", "SandboxAccount", "SandboxOptions", "serve"]
