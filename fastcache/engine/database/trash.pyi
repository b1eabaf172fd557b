"""The trash: names of value files that no row has any more."""
