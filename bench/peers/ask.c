/* The client for the daemon and for the echo server alike: frames of a 4-byte big-endian length and a body.
 * usage: ask SOCKET CLIENTS REQUESTS HELLO ASK (frames as hex, headers included)
 * Each client says hello, waits for the answer, then asks again as soon as the last answer is whole.
 * Prints the p50 of all round trips and the time of all, both in nanoseconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct client { int fd; size_t got; uint64_t sent; char buffer[65536]; };
struct frame { size_t size; char bytes[4096]; };

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static struct frame parse(const char *hex) {
    struct frame frame = {.size = strlen(hex) / 2};
    for (size_t i = 0; i < frame.size; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        frame.bytes[i] = (char)byte;
    }
    return frame;
}

/* Reads once; 1 when an answer is whole. */
static int receive(struct client *client) {
    ssize_t size = read(client->fd, client->buffer + client->got, sizeof client->buffer - client->got);
    if (size <= 0) exit(1);
    client->got += size;
    unsigned char *b = (unsigned char *)client->buffer;
    if (client->got < 4) return 0;
    size_t length = ((size_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]) + 4;
    if (client->got < length) return 0;
    client->got = 0;
    return 1;
}

static void say(struct client *client, const struct frame *frame) {
    client->sent = now();
    if (write(client->fd, frame->bytes, frame->size) != (ssize_t)frame->size) exit(1);
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    int count = atoi(argv[2]), left = atoi(argv[3]), taken = 0;
    struct frame hello = parse(argv[4]), ask = parse(argv[5]);
    struct client *clients = calloc(count, sizeof *clients);
    uint64_t *trips = calloc(left, sizeof *trips);
    int queue = epoll_create1(0), requests = left;
    for (int i = 0; i < count; i++) {
        clients[i].fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(clients[i].fd, (struct sockaddr *)&address, sizeof address)) return 1;
        say(&clients[i], &hello);
        while (!receive(&clients[i])) {}
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        epoll_ctl(queue, EPOLL_CTL_ADD, clients[i].fd, &event);
    }
    uint64_t begin = now();
    for (int i = 0; i < count; i++, left--) say(&clients[i], &ask);
    while (taken < requests) {
        struct epoll_event ready[64];
        struct client *only = clients;
        int found = 1;
        if (count > 1) found = epoll_wait(queue, ready, 64, -1);
        for (int i = 0; i < found; i++) {
            struct client *client = count > 1 ? ready[i].data.ptr : only;
            if (!receive(client)) continue;
            trips[taken++] = now() - client->sent;
            if (left > 0) {
                left--;
                say(client, &ask);
            }
        }
    }
    uint64_t all = now() - begin;
    qsort(trips, requests, sizeof *trips, ascending);
    printf("%llu %llu\n", (unsigned long long)trips[requests / 2], (unsigned long long)all);
    return 0;
}
