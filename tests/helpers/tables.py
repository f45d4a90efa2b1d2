"""Tables as people see them."""

from rich.console import Console
from rich.table import Table


def shown(table: Table, width: int = 200) -> str:
    """A table on a screen of so many columns."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return capture.get()
