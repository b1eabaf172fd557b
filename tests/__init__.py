"""What fastcache promises, as tests against its public face.

``contract/`` holds what every store promises, one mix-in for each concern; ``test_cache.py`` and
``test_index.py`` say which store makes which promise.
"""
