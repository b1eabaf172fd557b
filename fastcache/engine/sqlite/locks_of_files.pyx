"""SQLite's locks on our files as locks of open file descriptions, where Linux has them (engine/descriptions.pxd).

SQLite locks with POSIX's, which belong to the process. Whoever opens and closes ``cache.db`` in a process that has the cache open (a backup, a
virus scanner, ``shutil.copytree``) drops them; the next close of another process then takes itself for the last one, copies the
WAL and deletes it, and what this process writes into it afterwards is lost.

SQLite lets its system calls be replaced (sqlite3_vfs.xSetSystemCall), for all that uses it in the process. Ours call what was there before, and
differ only for descriptors of files named ``cache.db`` and ``cache.db-shm``. What is always true, and who keeps it so:

- **All locks of one file are those of one description**, whichever of SQLite's descriptors it names: within a process SQLite keeps account
  of them itself, per inode, and a lock that one connection has taken another may give back. So each inode has an object (`struct
  fastcache_file`) with a descriptor of its own that does nothing but lock, as long as SQLite has any descriptor of that inode.
- **An inode has one kind of locks at a time.** A file that SQLite had open before we came keeps POSIX's until that is closed.
- **A child has none of its parent's locks**, as with POSIX's: it closes the descriptors that lock right after the fork, and opens them anew
  when it first locks. So what it does with connections that it has inherited, it does to no lock of its parent's, nor does
  it keep one when that is gone.
- Where the kernel does not keep the locks of the file system itself, or has none of that kind, all is as SQLite has it.
"""

from fastcache.engine.descriptions cimport FASTCACHE_HAS_DESCRIPTIONS

cdef extern from *:
    """
    #if FASTCACHE_HAS_DESCRIPTIONS
    #include <dirent.h>
    #include <dlfcn.h>
    #include <pthread.h>
    #include <stdarg.h>
    #include <stdlib.h>
    #include <sys/stat.h>
    #include <unistd.h>
    #include "sqlite3.h"

    /* What `lock` is instead of a descriptor. */
    #define FASTCACHE_POSIX (-1)
    #define FASTCACHE_FORKED (-2)
    #define FASTCACHE_FAILED (-3)

    struct fastcache_file {
        dev_t device;
        ino_t inode;
        char *path;
        /* The descriptor that locks. */
        int lock;
        /* How many descriptors SQLite has of it. */
        long uses;
        struct fastcache_file *next;
    };

    /* By descriptor, so that a call finds its file without a lock: an entry changes only while SQLite uses the descriptor for
       nothing. Pages are never given back. */
    #define FASTCACHE_PAGE 1024
    #define FASTCACHE_PAGES 4096
    static struct fastcache_file **fastcache_pages[FASTCACHE_PAGES];
    static struct fastcache_file *fastcache_files;
    static pthread_mutex_t fastcache_files_mutex = PTHREAD_MUTEX_INITIALIZER;

    /* What was open before we came. */
    struct fastcache_earlier { int fd; dev_t device; ino_t inode; };
    static struct fastcache_earlier *fastcache_earlier;
    static int fastcache_earlier_count;

    static int (*fastcache_below_open)(const char *, int, int);
    static int (*fastcache_below_close)(int);
    static int (*fastcache_below_fcntl)(int, int, ...);

    static struct fastcache_file *fastcache_file_of(int fd)
    {
        struct fastcache_file **page;
        if (fd < 0 || fd >= FASTCACHE_PAGE * FASTCACHE_PAGES)
            return NULL;
        page = __atomic_load_n(&fastcache_pages[fd / FASTCACHE_PAGE], __ATOMIC_ACQUIRE);
        return page == NULL ? NULL : __atomic_load_n(&page[fd % FASTCACHE_PAGE], __ATOMIC_ACQUIRE);
    }

    static int fastcache_is_our_name(const char *path)
    {
        const char *name = strrchr(path, '/');
        name = name == NULL ? path : name + 1;
        return strncmp(name, "cache.db", 8) == 0 && (name[8] == 0 || strcmp(name + 8, "-shm") == 0);
    }

    static int fastcache_was_open_earlier(const struct stat *status)
    {
        struct stat now;
        int index;
        for (index = 0; index < fastcache_earlier_count; index++) {
            struct fastcache_earlier *earlier = &fastcache_earlier[index];
            if (earlier->device == status->st_dev && earlier->inode == status->st_ino && fstat(earlier->fd, &now) == 0
                    && now.st_dev == status->st_dev && now.st_ino == status->st_ino)
                return 1;
        }
        return 0;
    }

    /* A descriptor was closed, or is another one now. */
    static void fastcache_forget_earlier(int fd)
    {
        int index;
        for (index = 0; index < fastcache_earlier_count; index++)
            if (fastcache_earlier[index].fd == fd)
                fastcache_earlier[index--] = fastcache_earlier[--fastcache_earlier_count];
    }

    /* A descriptor that locks, above those that programs take for their standard streams; or FASTCACHE_FAILED, with errno. */
    static int fastcache_open_lock(const char *path, dev_t device, ino_t inode)
    {
        struct stat status;
        int fd, other, code;
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
            fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && fd <= 2) {
            other = fcntl(fd, F_DUPFD_CLOEXEC, 3);
            code = errno;
            close(fd);
            errno = code;
            fd = other;
        }
        if (fd < 0)
            return FASTCACHE_FAILED;
        if (fstat(fd, &status) != 0 || status.st_dev != device || status.st_ino != inode) {
            /* Removed, or replaced, meanwhile. */
            close(fd);
            errno = ENOENT;
            return FASTCACHE_FAILED;
        }
        return fd;
    }

    /* Decide on the locks of a file that SQLite has just opened; returns what `lock` is to be. */
    static int fastcache_choose(int fd, const char *path, const struct stat *status)
    {
        int lock;
        if (!fastcache_has_description_locks(fd) || fastcache_was_open_earlier(status))
            return FASTCACHE_POSIX;
        lock = fastcache_open_lock(path, status->st_dev, status->st_ino);
        if (lock == FASTCACHE_FAILED && (errno == ENOENT || errno == EACCES || errno == EPERM || errno == ELOOP))
            return FASTCACHE_POSIX;
        return lock;
    }

    /* Note a descriptor; returns -1, with errno, if that is not possible. */
    static int fastcache_note(int fd, const char *path)
    {
        struct stat status;
        struct fastcache_file *file = NULL, **page;
        if (fstat(fd, &status) != 0)
            return -1;
        if (!S_ISREG(status.st_mode))
            return 0;
        if (fd >= FASTCACHE_PAGE * FASTCACHE_PAGES) {
            errno = EMFILE;
            return -1;
        }
        pthread_mutex_lock(&fastcache_files_mutex);
        fastcache_forget_earlier(fd);
        page = fastcache_pages[fd / FASTCACHE_PAGE];
        if (page == NULL) {
            page = (struct fastcache_file **)calloc(FASTCACHE_PAGE, sizeof *page);
            if (page == NULL)
                goto no_memory;
            __atomic_store_n(&fastcache_pages[fd / FASTCACHE_PAGE], page, __ATOMIC_RELEASE);
        }
        for (file = fastcache_files; file != NULL; file = file->next)
            if (file->device == status.st_dev && file->inode == status.st_ino)
                break;
        if (file == NULL) {
            file = (struct fastcache_file *)calloc(1, sizeof *file);
            if (file == NULL || (file->path = strdup(path)) == NULL) {
                free(file);
                goto no_memory;
            }
            file->device = status.st_dev;
            file->inode = status.st_ino;
            file->lock = fastcache_choose(fd, path, &status);
            if (file->lock == FASTCACHE_FAILED) {
                int code = errno;
                free(file->path);
                free(file);
                pthread_mutex_unlock(&fastcache_files_mutex);
                errno = code;
                return -1;
            }
            file->next = fastcache_files;
            fastcache_files = file;
        }
        file->uses++;
        __atomic_store_n(&page[fd % FASTCACHE_PAGE], file, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&fastcache_files_mutex);
        return 0;
    no_memory:
        pthread_mutex_unlock(&fastcache_files_mutex);
        errno = ENOMEM;
        return -1;
    }

    static int fastcache_open(const char *path, int flags, int mode)
    {
        int fd = fastcache_below_open(path, flags, mode);
        /* SQLite closes those that could be taken for standard streams, and opens again. */
        if (fd > 2 && fastcache_is_our_name(path) && fastcache_note(fd, path) != 0) {
            int code = errno;
            fastcache_below_close(fd);
            errno = code;
            return -1;
        }
        return fd;
    }

    static int fastcache_close(int fd)
    {
        struct fastcache_file *file = fastcache_file_of(fd), **link;
        if (file != NULL) {
            pthread_mutex_lock(&fastcache_files_mutex);
            __atomic_store_n(&fastcache_pages[fd / FASTCACHE_PAGE][fd % FASTCACHE_PAGE], NULL, __ATOMIC_RELEASE);
            if (--file->uses == 0) {
                for (link = &fastcache_files; *link != file; link = &(*link)->next)
                    ;
                *link = file->next;
                /* With this go the locks that SQLite has not given back one by one. There is nothing to be written that could
                   fail, and on Linux the descriptor is gone whatever this returns. */
                if (file->lock >= 0)
                    close(file->lock);
                free(file->path);
                free(file);
            }
            pthread_mutex_unlock(&fastcache_files_mutex);
        }
        else if (fastcache_earlier_count > 0) {
            pthread_mutex_lock(&fastcache_files_mutex);
            fastcache_forget_earlier(fd);
            pthread_mutex_unlock(&fastcache_files_mutex);
        }
        return fastcache_below_close(fd);
    }

    /* In a child, with none of the locks that the parent has: the descriptor that locks; or FASTCACHE_FAILED, with errno. */
    static int fastcache_renew_lock(struct fastcache_file *file)
    {
        int lock;
        pthread_mutex_lock(&fastcache_files_mutex);
        lock = file->lock;
        if (lock == FASTCACHE_FORKED) {
            lock = fastcache_open_lock(file->path, file->device, file->inode);
            if (lock >= 0)
                __atomic_store_n(&file->lock, lock, __ATOMIC_RELEASE);
        }
        pthread_mutex_unlock(&fastcache_files_mutex);
        return lock;
    }

    static int fastcache_fcntl(int fd, int command, ...)
    {
        struct fastcache_file *file;
        struct flock *place;
        void *argument;
        int lock;
        va_list arguments;
        va_start(arguments, command);
        argument = va_arg(arguments, void *);
        va_end(arguments);
        if (command != F_SETLK && command != F_GETLK && command != F_SETLKW)
            return fastcache_below_fcntl(fd, command, argument);
        file = fastcache_file_of(fd);
        lock = file == NULL ? FASTCACHE_POSIX : __atomic_load_n(&file->lock, __ATOMIC_ACQUIRE);
        if (lock == FASTCACHE_POSIX)
            return fastcache_below_fcntl(fd, command, argument);
        place = (struct flock *)argument;
        if (lock == FASTCACHE_FORKED) {
            if (command != F_GETLK && place->l_type == F_UNLCK)
                return 0;
            lock = fastcache_renew_lock(file);
            if (lock == FASTCACHE_FAILED)
                return -1;
        }
        place->l_pid = 0;
        command = command == F_SETLK ? F_OFD_SETLK : command == F_GETLK ? F_OFD_GETLK : F_OFD_SETLKW;
        return fastcache_below_fcntl(lock, command, place);
    }

    static void fastcache_before_fork(void) { pthread_mutex_lock(&fastcache_files_mutex); }
    static void fastcache_after_fork(void) { pthread_mutex_unlock(&fastcache_files_mutex); }

    static void fastcache_in_child(void)
    {
        struct fastcache_file *file;
        for (file = fastcache_files; file != NULL; file = file->next) {
            if (file->lock >= 0) {
                close(file->lock);
                file->lock = FASTCACHE_FORKED;
            }
        }
        pthread_mutex_unlock(&fastcache_files_mutex);
    }

    /* Whether what calls SQLite brings its own copy along: then nobody has used it before. */
    static int fastcache_has_own_sqlite(void)
    {
        Dl_info ours, sqlite;
        return dladdr((void *)fastcache_in_child, &ours) != 0 && dladdr((void *)sqlite3_libversion, &sqlite) != 0
            && ours.dli_fbase == sqlite.dli_fbase;
    }

    /* Note what is open already; returns -1 where that cannot be found out. */
    static int fastcache_note_earlier(void)
    {
        char path[64], target[4096];
        struct fastcache_earlier *grown;
        struct dirent *each;
        struct stat status;
        ssize_t size;
        DIR *folder;
        int fd;
        if (fastcache_has_own_sqlite())
            return 0;
        folder = opendir("/proc/self/fd");
        if (folder == NULL)
            return -1;
        while ((each = readdir(folder)) != NULL) {
            if (each->d_name[0] < '0' || each->d_name[0] > '9')
                continue;
            fd = atoi(each->d_name);
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            size = readlink(path, target, sizeof target - 1);
            if (size <= 0)
                continue;
            target[size] = 0;
            if (!fastcache_is_our_name(target) || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
                continue;
            grown = (struct fastcache_earlier *)realloc(fastcache_earlier, (fastcache_earlier_count + 1) * sizeof *grown);
            if (grown == NULL) {
                closedir(folder);
                return -1;
            }
            fastcache_earlier = grown;
            grown[fastcache_earlier_count].fd = fd;
            grown[fastcache_earlier_count].device = status.st_dev;
            grown[fastcache_earlier_count].inode = status.st_ino;
            fastcache_earlier_count++;
        }
        closedir(folder);
        return 0;
    }

    /* Have SQLite call ours; where that is not possible, all stays as it is. */
    static void fastcache_use_descriptions(void)
    {
        sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
        if (vfs == NULL || vfs->iVersion < 3 || vfs->xSetSystemCall == NULL || vfs->xGetSystemCall == NULL)
            return;
        fastcache_below_open = (int (*)(const char *, int, int))vfs->xGetSystemCall(vfs, "open");
        fastcache_below_close = (int (*)(int))vfs->xGetSystemCall(vfs, "close");
        fastcache_below_fcntl = (int (*)(int, int, ...))vfs->xGetSystemCall(vfs, "fcntl");
        if (fastcache_below_open == NULL || fastcache_below_close == NULL || fastcache_below_fcntl == NULL)
            return;
        if (fastcache_note_earlier() != 0
                || pthread_atfork(fastcache_before_fork, fastcache_after_fork, fastcache_in_child) != 0)
            return;
        /* Opening comes last: only what it notes is treated otherwise. */
        if (vfs->xSetSystemCall(vfs, "close", (sqlite3_syscall_ptr)fastcache_close) == SQLITE_OK
                && vfs->xSetSystemCall(vfs, "fcntl", (sqlite3_syscall_ptr)fastcache_fcntl) == SQLITE_OK)
            vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)fastcache_open);
    }
    #else
    static void fastcache_use_descriptions(void) {}
    #endif
    """
    void fastcache_use_descriptions()

cdef bint asked = False


cdef void use_descriptions() noexcept:
    """Before the first connection is opened: have SQLite lock our files by descriptions, where that is possible."""
    global asked
    if not asked:
        asked = True
        fastcache_use_descriptions()
