/* One file out of a directory: unpack it, become the program in it, remove it at the end.
 *
 * PyInstaller's and Nuitka's own launchers stay the program's parent: their command line
 * shows the password for the whole session, and a signal reaches sevpn late or never (Nuitka
 * sends SIGINT only, and SIGKILL five seconds later). This one execs: one process id, one
 * command line, all signals and the exit status are sevpn's own.
 *
 * What was unpacked is removed by a forked helper that sleeps on a pipe. Its other end is
 * open in the program and in the children it forks (they import what they need late), so the
 * end of all of them is noticed, SIGKILL included.
 *
 * PAYLOAD is the file that pack.py wrote: for each file a struct entry, its path with a NUL
 * (relative, in the order of creation) and its packed bytes; a directory is an entry without
 * them. An entry with path_bytes 0 is the last one. PROGRAM is the path of the program in it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { EXIT_HOST = 4, FIRST_OTHER_FD = 10, MAX_PATH_BYTES = 4096 }; /* sevpn.errors */

__asm__(".section .rodata\n.balign 16\npayload: .incbin \"" PAYLOAD "\"\n.previous\n");
extern const unsigned char payload[];

struct entry {
    uint32_t path_bytes; /* with the NUL */
    uint32_t mode;       /* S_IFDIR and S_IFREG, and the permissions */
    uint32_t size_bytes;
    uint32_t packed_bytes; /* zlib's format */
};

static void die(const char *what)
{
    fprintf(stderr,
            "error: cannot unpack this program: %s: %s\n"
            "  hint: name a directory that is writable and not mounted noexec by TMPDIR\n",
            what, strerror(errno));
    exit(EXIT_HOST);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

/* Wait until nobody holds the write end any more, then remove the directory. */
static void start_remover(const char *directory, const char *name, size_t name_bytes)
{
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    /* Not 0, 1 or 2, which the caller may have closed: sevpn would print into it. */
    int kept = fcntl(ends[1], F_DUPFD, FIRST_OTHER_FD);
    int read_end = fcntl(ends[0], F_DUPFD, FIRST_OTHER_FD);
    if (kept < 0 || read_end < 0)
        die("pipe");
    close(ends[0]);
    close(ends[1]);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0) {
        close(read_end);
        return;
    }
    /* Out of the terminal's and the caller's reach, and in nobody's way. */
    setsid();
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    memset((char *)name, 0, name_bytes); /* the arguments: a password may be in them */
    prctl(PR_SET_NAME, "sevpn-remover");
    if (chdir("/") != 0)
        _exit(1);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    close(kept);
    char byte;
    while (read(read_end, &byte, 1) < 0 && errno == EINTR)
        ;
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}

static void write_file(const char *path, const struct entry *entry, const unsigned char *packed)
{
    uLongf size = entry->size_bytes;
    unsigned char *data = malloc(size + 1);
    if (data == NULL || uncompress(data, &size, packed, entry->packed_bytes) != Z_OK ||
        size != entry->size_bytes) {
        errno = data == NULL ? ENOMEM : EILSEQ;
        die(path);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, entry->mode & 0777);
    if (fd < 0)
        die(path);
    for (size_t done = 0; done < size;) {
        ssize_t written = write(fd, data + done, size - done);
        if (written < 0 && errno != EINTR)
            die(path);
        done += written > 0 ? (size_t)written : 0;
    }
    if (close(fd) != 0)
        die(path);
    free(data);
}

static void unpack(const char *directory)
{
    const unsigned char *at = payload;
    for (;;) {
        struct entry entry;
        memcpy(&entry, at, sizeof entry);
        if (entry.path_bytes == 0)
            return;
        at += sizeof entry;
        char path[MAX_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", directory, (const char *)at);
        at += entry.path_bytes;
        if (!S_ISDIR(entry.mode))
            write_file(path, &entry, at);
        else if (mkdir(path, entry.mode & 0777) != 0)
            die(path);
        at += entry.packed_bytes;
    }
}

int main(int argc, char **argv)
{
    const char *parent = getenv("TMPDIR");
    char directory[MAX_PATH_BYTES / 2];
    snprintf(directory, sizeof directory, "%s/sevpn-XXXXXX", parent && *parent ? parent : "/tmp");
    if (mkdtemp(directory) == NULL)
        die(directory);
    if (argc > 0)
        start_remover(directory, argv[0],
                      (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]));
    unpack(directory);
    char program[MAX_PATH_BYTES];
    snprintf(program, sizeof program, "%s/%s", directory, PROGRAM);
    execv(program, argv);
    die(program);
}
