"""What every store promises: one mix-in for each concern.

A test class takes the promises of its store from here and says which store it is::

    class TestMapping(MappingContract):
        store_type = fastcache.Cache
"""
