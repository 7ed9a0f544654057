"""The client of a farm: everything of framefarm_client, the package that can also be installed alone."""

from framefarm_client import *  # noqa: F403 - everything
