"""
Every setting of aero, in one table.

A row stands in the group it belongs to (C{server}, C{tls}, C{http}, ...): its option, its
environment variable, its default, its parser and one sentence of help. Nothing else in
aero reads the environment.
"""

from ._load import GROUPS, Settings, load, variables
from ._names import isInternalName
from ._nearest import nearestName, unknownVariables
from ._share import shareOf
from ._table import Row, rowsOf

__all__ = [
    "GROUPS",
    "Row",
    "Settings",
    "isInternalName",
    "load",
    "nearestName",
    "rowsOf",
    "shareOf",
    "unknownVariables",
    "variables",
]
