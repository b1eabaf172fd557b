# SQLite's locks as locks of open file descriptions.

cdef void use_descriptions() noexcept
