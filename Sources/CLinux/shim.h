#pragma once
// Calls of glibc that its headers show only under _GNU_SOURCE, which Swift's import of them does not set.
extern int renameat2(int oldfd, const char *old, int newfd, const char *new_, unsigned int flags);
extern int sync_file_range(int fd, long offset, long count, unsigned int flags);
