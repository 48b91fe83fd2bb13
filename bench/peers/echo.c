/* An epoll server on a Unix socket that sends back what it gets: the least that a reply can cost.
 * usage: echo SOCKET; prints a line when it listens, ends with its standard input. */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
    strcpy(address.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 256)) return 1;
    int queue = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(queue, EPOLL_CTL_ADD, 0, &event);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[64];
        int count = epoll_wait(queue, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            char buffer[4096];
            if (fd == 0) return 0;
            if (fd == listener) {
                event.data.fd = accept(listener, NULL, NULL);
                epoll_ctl(queue, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t size = read(fd, buffer, sizeof buffer);
            if (size <= 0) close(fd);
            else if (write(fd, buffer, size) != size) return 1;
        }
    }
}
