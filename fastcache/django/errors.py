"""The one error that Django's backends have and a Cache has not."""

import pickle

from fastcache.errors import EncodeError

__all__ = ["NotPicklableError"]


class NotPicklableError(EncodeError, pickle.PicklingError):
    """An EncodeError that is also what Django's own backends raise of a value that cannot be stored."""
