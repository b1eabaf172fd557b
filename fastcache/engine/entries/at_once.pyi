"""One entry, read or set where nothing has to be waited for."""
