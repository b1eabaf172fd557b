"""A cache backend for Django: ``BACKEND = "fastcache.django.FastCache"``."""

from fastcache.django.backend import FastCache
from fastcache.django.errors import NotPicklableError

__all__ = ["FastCache", "NotPicklableError"]
