/* file.h: paths, and files that are whole or not there. */
#ifndef HYMN_BASE_FILE_H
#define HYMN_BASE_FILE_H

#include "base/mem.h"

#include <stdint.h>

/** dir/name, or name alone when it is absolute or dir is NULL, "" or ".";
 *  the caller frees it. */
char *hy_path_join(const char *dir, const char *name);

/** The directory part of path, "." if none; the caller frees it. */
char *hy_path_dir(const char *path);

/** The last part of path, inside it. */
const char *hy_path_name(const char *path);

/** 1 if path ends in suffix (".gz"). */
int hy_path_ends(const char *path, const char *suffix);

/** 1 if path exists (is a directory), else 0. */
int hy_path_exists(const char *path);
int hy_path_is_dir(const char *path);

/** Make path and its parents; 0 or HY_EFILE. */
int hy_make_dirs(const char *path);

/** Read a whole file into *out (appended); 0 or HY_EFILE. */
int hy_file_read(const char *path, hy_buf *out);

/** Write a whole file: temporary name, fsync, rename, fsync of the
 *  directory. 0, HY_EFILE, or HY_ERES when the disk is full; on error the old
 *  file, if any, is untouched and no temporary is left. */
int hy_file_write(const char *path, const void *data, size_t n);

/** Fail for what errno says of writing path: HY_ERES when the disk is full,
 * else HY_EFILE. */
int hy_file_failed(const char *path, int why);

/** fsync tmp, rename it to path, fsync the directory. On error tmp is
 *  removed. 0, HY_EFILE or HY_ERES. */
int hy_file_commit(const char *tmp, const char *path);

/** n bytes to or from byte `at` of an open file, all of them; errno or 0 (EIO:
 *  the file ends before). */
int hy_file_put(int fd, const void *data, size_t n, int64_t at);
int hy_file_get(int fd, void *data, size_t n, int64_t at);

/** Is there room for a file of *n bytes? Reserving asks quotas and limits as
 *  well; a file system that cannot reserve is asked for its free space.
 *  \param n  [in,out] bytes of a new file, which is left empty; 0: the existing
 *            file gets room for its holes, and *n becomes its size
 *  \return errno or 0. */
int hy_file_room(const char *path, int64_t *n);

/** 1 if an errno says that there is no room. */
int hy_file_is_full(int why);

#endif
