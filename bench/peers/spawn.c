/* Runs a command again and again with posix_spawn, so many at once, its output in a file each as a job's is.
 * usage: spawn COUNT AT_ONCE DIRECTORY COMMAND…; prints how long all took, in nanoseconds. */
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    int left = atoi(argv[1]), at_once = atoi(argv[2]), running = 0;
    uint64_t begin = now();
    while (left > 0 || running > 0) {
        if (left > 0 && running < at_once) {
            char log[4096];
            posix_spawn_file_actions_t files;
            pid_t pid;
            snprintf(log, sizeof log, "%s/%d.log", argv[3], left);
            posix_spawn_file_actions_init(&files);
            posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
            posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
            posix_spawn_file_actions_adddup2(&files, 1, 2);
            if (posix_spawn(&pid, argv[4], &files, NULL, argv + 4, environ)) return 1;
            posix_spawn_file_actions_destroy(&files);
            left--;
            running++;
            continue;
        }
        int status;
        if (wait(&status) < 0 || status != 0) return 1;
        running--;
    }
    printf("%llu\n", (unsigned long long)(now() - begin));
    return 0;
}
