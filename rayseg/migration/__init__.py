"""From an MMSegmentation config to one of rayseg's: the text of a file, and a line for each thing that is not the same.

Nothing of MM, torch or a network library is imported.
"""

from rayseg.migration.lines import Line
from rayseg.migration.migrate import Migration, migrate

__all__ = ["Line", "Migration", "migrate"]
