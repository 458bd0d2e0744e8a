/* Runs a command in an environment made anew, as a shell, a supervisor or a test runner does. Usage:
 * spawn posix_spawn|posix_spawnp|vfork|fork COMMAND…
 *
 * Its status is the command's. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char* rebuilt[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};

static int is(const char* one, const char* other) { return strcmp(one, other) == 0; }

int main(int count, char** arguments) {
    if (count < 3) return 2;
    const char* way = arguments[1];
    char** command = arguments + 2;
    pid_t child = -1;

    if (is(way, "posix_spawn") || is(way, "posix_spawnp")) {
        posix_spawnattr_t attributes;
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
        const int error = is(way, "posix_spawn")
                              ? posix_spawn(&child, command[0], NULL, &attributes, command, rebuilt)
                              : posix_spawnp(&child, command[0], NULL, &attributes, command, rebuilt);
        if (error != 0) return fprintf(stderr, "%s: %s\n", command[0], strerror(error)), 1;
    } else if (is(way, "vfork")) {
        child = vfork();
        if (child == 0) {
            execve(command[0], command, rebuilt);
            _exit(127);
        }
    } else if (is(way, "fork")) {
        child = fork();
        if (child == 0) {
            clearenv();
            execvp(command[0], command);
            _exit(127);
        }
    }

    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) return perror(way), 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
