"""`dfinery completion`: what a shell needs to complete our commands and options."""

from __future__ import annotations

import sys
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from dfinery_async.cli.exits import Exit

__all__ = ["HELP", "completion_of"]

HELP: Final = """Print a script with which a shell completes commands and options.

  dfinery completion bash > ~/.local/share/bash-completion/completions/dfinery
  dfinery completion zsh > ~/.zfunc/_dfinery       (a directory of your fpath)
  dfinery completion fish > ~/.config/fish/completions/dfinery.fish
"""


def completion_of(app: App) -> App:
    """Return the command, for the application whose commands it completes."""
    command = App(name="completion", help=HELP)

    @command.default
    def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")], /) -> Exit:
        """Print the script."""
        sys.stdout.write(app.generate_completion(prog_name="dfinery", shell=shell))
        return Exit.OK

    return command
