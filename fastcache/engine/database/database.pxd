# One database in use: its sessions, the writer lock, and the parts that have a say in its transactions.

from fastcache.engine.blobs.files cimport ValueFiles
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.database.scope cimport Scope
from fastcache.engine.database.watch cimport Watch
from fastcache.engine.shm.change_log cimport ChangeLog, Commit
from fastcache.engine.shm.journal cimport Journal
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport Cell
from fastcache.engine.sqlite.connection cimport Connection, Statement


cdef double SOON
cdef double TRASH_PERIOD


cdef enum Life:
    # While it is CLOSING, what is in the journal is drained, and nothing more goes there; nor while the process is FINISHING.
    OPEN, CLOSING, FINISHING, CLOSED


cdef class Participant:
    cdef int attach(self, Database database, Session session) except -1
    cdef int attach_journal(self, Database database) except -1
    cdef void detach(self) noexcept
    cdef void begin_anew(self) noexcept
    cdef int settings_changed(self, Database database, Session session) except -1
    cdef int before_transaction(self, Database database) except -1
    cdef int before_changing(self, Database database) except -1
    cdef int flush_deferred(self, Database database) except -1
    cdef int discard_deferred(self, Database database) except -1
    cdef int roll_back(self, Database database) except -1
    cdef int after_commit(self, Database database) except -1
    cdef int settle(self, Database database) except -1
    cdef int block_left(self, Database database, long long block, bint kept) except -1
    cdef int files_counted(self, long long size) except -1
    cdef bint has_pending(self, Database database) noexcept
    cdef int flush(self, Database database) except -1
    cdef int after_fork_in_child(self, Database database) except -1


cdef class Database(Scope):
    cdef readonly ValueFiles files
    cdef readonly dict settings
    cdef readonly str durability
    cdef Life life
    # Whether it begins anew where its directory is gone; whether that is there is for the watch to say.
    cdef readonly bint recreate
    cdef Watch watch
    # Whether nothing is written here, and what was asked for. Whether there is nothing to read either.
    cdef readonly bint read_only
    cdef object asked_read_only
    cdef readonly bint is_nothing
    # Whether what has expired stays until somebody asks for its removal.
    cdef bint keeps_expired
    # Whether each commit waits for the disk.
    cdef bint syncs
    # The number of forks (writer_lock.pyx) in which its connections are.
    cdef unsigned long born

    # Connections. `opening` is a lock, `checkpoint_lock` one on `checkpoint_connection`, on which maintenance checkpoints.
    cdef Session writer
    cdef Session reader
    cdef Connection checkpoint_connection
    cdef object opening
    # Held by whoever unlinks value files.
    cdef object unlinking
    cdef object checkpoint_lock

    # Whether a fork has come before the journal could be drained.
    cdef bint flush_after_fork
    # Whether another process has been in the way since the WAL last started over.
    cdef bint contended
    # Whether what is evicted goes into the WAL, too, so that it starts over twice as often.
    cdef bint fills_fast
    # Whether rows have put names into the trash (trash.pyx).
    cdef bint has_trash

    # Which of the waiting processes this is (24 bits), and whether it has asked to come first.
    cdef unsigned long long token
    cdef bint has_priority_request

    # The wal-index header of the writer's connection; NULL while there is none.
    cdef const unsigned long long* clock
    cdef long long clocks_forgotten
    cdef ChangeLog log
    # The journal, if there is one; where it would be; whether one is to be made, and whether it is being drained.
    cdef Journal journal
    cdef bytes journal_path
    cdef bint asked_journal
    cdef bint wants_journal
    cdef bint draining
    cdef Commit commit
    # What the memory tier has noted of our last commit (entries/lookup.pyx).
    cdef unsigned long long own_era
    # The version of the settings that was last looked at.
    cdef unsigned long long settings_seen

    # In the order in which they are called; and whether one has said of itself that it has deferred something.
    cdef tuple participants
    cdef bint has_deferred
    # Whether transactions give back what they free, before they commit (full_disk.pyx).
    cdef bint vacuums

    # Of the open transaction, what begins where.
    cdef list created
    cdef list marks
    # The last of these blocks that was committed.
    cdef long long committed_last

    cdef int open(self, dict asked) except -1
    cdef int open_first(self, dict asked) except -1
    cdef int open_writer(self) except -1
    cdef int open_writer_once(self) except -1
    cdef int read_instead(self, error) except -1
    cdef int refuse_writing(self) except -1
    cdef int refuse_if_gone(self) except -1
    cdef int look_around(self) except -1
    cdef int leave_files(self) except -1
    cdef int leave_directory(self) except -1
    cdef bint find_directory(self) except -1
    cdef int arrive(self, Session session, bint begins_anew) except -1
    cdef int reopen_changed(self) except -1
    cdef Session open_session(self)
    cdef Session open_session_once(self)
    cdef Connection open_connection(self, bint lenient)
    cdef Connection connect_once(self, bint lenient)
    cdef void forget_clock(self) noexcept
    cdef int take_journal(self, Connection connection, unsigned long long* ring) except -1
    cdef bint may_lack_journal(self) noexcept
    cdef int seek_journal(self, bint make) except -1
    cdef int leave_journal(self) except -1
    cdef int open_reader(self) except -1
    cdef int begin_opening(self) except -1
    cdef int end_opening(self) except -1
    cdef int refuse_if_closed(self, Session session) except -1
    cdef int flush(self) except -1
    cdef int flush_first(self) except -1
    cdef int acquire_writer_lock(self) except -1
    cdef int drop_sessions(self, bint checkpoint) except -1
    cdef Session choose_session(self, bint sought=*)
    cdef Session reading(self)
    cdef Session reading_snapshot(self)
    cdef Session writing(self)
    cdef Session changing(self)
    cdef int follow_settings(self) except -1
    cdef int notice_settings(self) except -1
    cdef int tell_settings(self) except -1
    cdef BusyWait pause(self, BusyWait wait)
    cdef list read_rows(self, str text)
    cdef int yield_to_waiter(self) except -1
    cdef void clear_priority(self) noexcept
    cdef long long counted_from(self) except? -1
    cdef int will_change(self, const Cell* key) except -1
    cdef int will_change_all(self) except -1
    cdef int follow_commit(self) except -1
    cdef bint waits_for_disk(self) noexcept
    cdef int change(self, Session session, Statement statement, bint release_gil) except -2
    cdef int change_locked(self, Session session, Statement statement, bint release_gil) except -1
    cdef int change_row(self, Session session, str text, long long parameter) except -1
    cdef long long integer(self, Session session, str text) except? -1
    cdef int count_file(self, long long size) except -1
    cdef int count_changes(self, Connection connection, int before) except -1
    cdef int flush_deferred(self) except -1
    cdef int discard_deferred(self) except -1
    cdef int settle(self) except -1


cdef int warn(str message, str directory, object error) except -1
cdef object check_read_only(object read_only)
cdef str check_durability(object durability)
