# One database: its connections, whose turn it is, its transactions, and what follows a commit. The base of Store.

from fastcache.engine.shm.change_log cimport ChangeLog, Commit
from fastcache.engine.sqlite.connection cimport BusyWait, Cell, Connection, Statement
from fastcache.engine.blobs.files cimport ValueFiles
from fastcache.engine.memory.tier cimport Memory
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.database.writer_lock cimport Turn


cdef double SOON
# How soon maintenance tries again to make the WAL shorter, in seconds.
cdef double SHORTENING_PERIOD
# How long maintenance waits for the turn, or for another process, in seconds.
cdef double TENDING_PATIENCE


cdef class Database:
    cdef readonly str directory
    cdef readonly double timeout
    cdef readonly object timer
    cdef readonly ValueFiles files
    cdef readonly dict settings
    cdef readonly str durability
    cdef readonly bint closed
    cdef bint closing
    # Whether each commit waits for the disk.
    cdef bint syncs
    cdef object __weakref__
    # The number of forks (writer_lock.pyx) in which its connections are.
    cdef unsigned long born

    # Connections. `opening` is a lock, `tending` one on `tender`, on which maintenance checkpoints.
    cdef Session writer
    cdef Session reader
    cdef Connection tender
    cdef object opening
    cdef object tending

    # Maintenance: whether it was called and is to come, and for what.
    cdef object keeper
    cdef bint called
    # Whether a fork has come before what waited could be written.
    cdef bint flush_after_fork
    # The thread that tends it just now; 0 if none does.
    cdef unsigned long tended_by
    cdef bint checkpoint_due
    cdef bint restart_due
    # Whether another process has been in the way since the WAL last started over.
    cdef bint contended
    # Whether what is evicted goes into the WAL, too, so that it starts over twice as often.
    cdef bint fills_fast
    cdef bint has_trash
    # WAL frames at which to call it next, and to see to it oneself.
    cdef int checkpoint_at
    cdef int own_checkpoint_at
    # WAL frames after our last commit.
    cdef int frames_seen

    # Among threads; and which of the waiting processes this is (24 bits), and whether it has asked to come first.
    cdef Turn turn
    cdef unsigned long long token
    cdef bint starving

    # The wal-index header of the writer's connection; NULL while there is none.
    cdef const unsigned long long* clock
    cdef ChangeLog log
    cdef Commit commit
    cdef Memory memory
    # The tier's era in which our last commit was the last of all; else 0.
    cdef unsigned long long own_era

    # The open transaction: how deep, what begins where. While any is `entering`, nothing is put off past it.
    cdef int depth
    cdef int entering
    cdef list created
    cdef list marks
    cdef list blocks
    cdef long long entered
    # The last of these blocks that was committed.
    cdef long long committed_last

    cdef int open(self, dict asked) except -1
    cdef int open_writer(self) except -1
    cdef int open_reader(self) except -1
    cdef int begin_opening(self) except -1
    cdef int end_opening(self) except -1
    cdef int refuse_if_closed(self, Session session) except -1
    cdef Connection open_connection(self, bint lenient)
    cdef Connection connect_once(self, bint lenient)
    cdef Session open_session(self)
    cdef bint use_wal(self, Connection connection) except -1
    cdef Session initialize(self, Session session)
    cdef bint is_ours(self, Connection connection) except -1
    cdef int check_settings(self, dict asked) except -1
    cdef ChangeLog open_log(self)
    cdef void forget_clock(self) noexcept
    cdef int shut(self) except -1
    cdef int drop_sessions(self, bint checkpoint) except -1

    cdef Session reading(self)
    cdef Session choose_session(self)
    cdef Session lingering(self)
    cdef Session writing(self)
    cdef BusyWait pause(self, BusyWait wait)
    cdef list read_rows(self, str text)
    cdef bint is_maintenance(self) noexcept
    cdef int stand_back(self) except -1
    cdef void be_served(self) noexcept
    cdef long long now(self) except? -1

    cdef int will_change(self, const Cell* key) except -1
    cdef int will_change_all(self) except -1
    cdef int follow_commit(self) except -1
    cdef int change(self, Session session, Statement statement, bint release_gil) except -2
    cdef int change_locked(self, Session session, Statement statement, bint release_gil) except -1
    cdef int count_changes(self, Connection connection, int before) except -1

    cdef int enter(self) except -1
    cdef int leave(self, bint keep) except -1
    cdef int roll_back(self, Session session) except -1
    cdef long long block(self) except -1
    cdef bint is_open(self, long long block) except -1
    cdef int undo_files(self, Py_ssize_t mark) except -1
    cdef int remove_later(self) except -1

    # What Store adds to a transaction.
    cdef bint has_put_off(self) noexcept
    cdef int carry_out(self) except -1
    cdef int forget_put_off(self) except -1
    cdef int flush_first(self) except -1
    cdef int prepare(self, Session session) except -1

    cdef int settle(self) except -1
    cdef int tidy_up(self, Session session) except -1
    cdef int restart_wal(self, Session session) except -1
    cdef bint call_keeper(self, double seconds) except -1
    cdef int checkpoint_beside(self) except -1
    cdef bint shorten_wal(self) except -1
    cdef int tidy_at_opening(self) except -1
    cdef int empty_trash(self, double patience) except -1
    cdef int forget_trash(self, list names, double patience) except -1
    cdef int count_file(self, long long size) except -1
    cdef int change_row(self, Session session, str text, long long parameter) except -1


cdef int know_main_thread() except -1
cdef int warn(str message, str directory, object error) except -1
cdef unsigned long long check_memory(object memory) except? 0
