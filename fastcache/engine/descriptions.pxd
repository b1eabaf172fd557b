# Locks of open file descriptions (F_OFD_SETLK of Linux, fcntl(2)), and where they can be used.
#
# A POSIX lock belongs to the process, and goes with the first close of *any* descriptor of the file: whoever reads the file by
# its name takes it away, unasked and unseen. A lock of a description goes with the last close of that description, and nobody
# else's. The two kinds conflict with each other, so that programs with either kind may share a file.
#
# What one has to do for it: a child that is forked shares the descriptions, and would keep its parent's locks beyond the
# parent's death. So each description that locks is one that nothing else is done with, and it is closed in the child by a handler of the
# C library, which comes whoever forks, and runs before anything else there.

cdef extern from *:
    """
    #ifndef FASTCACHE_DESCRIPTIONS
    #define FASTCACHE_DESCRIPTIONS
    #if defined(__linux__) && defined(__LP64__)
    #define FASTCACHE_HAS_DESCRIPTIONS 1
    #include <errno.h>
    #include <fcntl.h>
    #include <string.h>
    #include <sys/vfs.h>
    #ifndef F_OFD_GETLK
    #define F_OFD_GETLK 36
    #define F_OFD_SETLK 37
    #define F_OFD_SETLKW 38
    #endif
    /* Whether the kernel itself keeps the locks of a file, and knows these. What a server keeps, or a program (FUSE), it would have
       to give back with the description, which is not certain everywhere. */
    static inline int fastcache_has_description_locks(int fd)
    {
        struct statfs system;
        struct flock place;
        if (fstatfs(fd, &system) != 0)
            return 0;
        switch ((unsigned int)system.f_type) {
        case 0xEF53: /* ext2, ext3, ext4 */
        case 0x58465342: /* XFS */
        case 0x9123683E: /* Btrfs */
        case 0x01021994: /* tmpfs */
        case 0x858458F6: /* ramfs */
        case 0x794C7630: /* overlay */
        case 0xF2F52010: /* F2FS */
        case 0x2FC12FC1: /* ZFS */
        case 0xCA451A4E: /* bcachefs */
        case 0x3153464A: /* JFS */
        case 0x3434: /* NILFS */
        case 0x2011BAB0: /* exFAT */
        case 0x4D44: /* FAT */
            break;
        default:
            return 0;
        }
        memset(&place, 0, sizeof place);
        place.l_type = F_RDLCK;
        place.l_whence = SEEK_SET;
        place.l_len = 1;
        return fcntl(fd, F_OFD_GETLK, &place) == 0;
    }
    #else
    #define FASTCACHE_HAS_DESCRIPTIONS 0
    #endif
    #endif
    """
    bint FASTCACHE_HAS_DESCRIPTIONS
