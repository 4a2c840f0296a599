/*
 * Connections that never log in, and how long a server keeps them.
 *
 *     strangers PLAIN_PORT TLS_PORT COUNT OPEN_SECONDS SECONDS
 *
 * A third connects and says nothing, a third lets one octet of an endless command drip in every
 * three seconds, a third begins a TLS handshake: every other of these with a whole ClientHello that
 * is followed by nothing, the rest with its first octets. They come evenly over OPEN_SECONDS. Ends
 * when all are gone or SECONDS after the last came, and prints how many were kept and the longest
 * life, in seconds, as JSON. Nothing is closed from this side before.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DRIP_SECONDS 3.0

enum kind { SILENT, DRIPPING, HALF, KINDS };

struct stranger {
    int fd;
    enum kind kind;
    double came, dripped;
};

static int poller, left, refused;
static double longest[KINDS];
static char hello[2048];
static int hello_length;

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void make_hello(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *tls = SSL_new(context);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(tls, BIO_new(BIO_s_mem()), out);
    SSL_connect(tls);
    hello_length = BIO_read(out, hello, sizeof hello);
    SSL_free(tls);
    SSL_CTX_free(context);
}

static void come(struct stranger *one, enum kind kind, int whole, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = one};
    to.sin_port = htons((unsigned short)port);
    one->kind = kind;
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    one->came = one->dripped = now();
    if (one->fd < 0 || connect(one->fd, (struct sockaddr *)&to, sizeof to) < 0) {
        refused++;
        if (one->fd >= 0)
            close(one->fd);
        one->fd = -1;
        return;
    }
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    if (kind == HALF)
        send(one->fd, hello, (size_t)(whole ? hello_length : 50), MSG_NOSIGNAL);
    left++;
    epoll_ctl(poller, EPOLL_CTL_ADD, one->fd, &event);
}

static void go(struct stranger *one)
{
    double life = now() - one->came;
    if (life > longest[one->kind])
        longest[one->kind] = life;
    close(one->fd);
    one->fd = -1;
    left--;
}

static void hear(int milliseconds)
{
    struct epoll_event events[256];
    char waste[4096];
    int ready = epoll_wait(poller, events, 256, milliseconds);
    for (int i = 0; i < ready; i++) {
        struct stranger *one = events[i].data.ptr;
        ssize_t n = recv(one->fd, waste, sizeof waste, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            go(one);
    }
}

static void drip(struct stranger *all, int count)
{
    double at = now();
    for (int i = 0; i < count; i++) {
        struct stranger *one = &all[i];
        if (one->fd < 0 || one->kind != DRIPPING || at - one->dripped < DRIP_SECONDS)
            continue;
        one->dripped = at;
        if (send(one->fd, "a", 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
            go(one);
    }
}

int main(int words_count, char **words)
{
    struct rlimit files;
    if (words_count != 6)
        return 2;
    int plain = atoi(words[1]), secure = atoi(words[2]), count = atoi(words[3]);
    double open_seconds = atof(words[4]), seconds = atof(words[5]);
    struct stranger *all = calloc((size_t)count, sizeof *all);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    make_hello();
    double began = now();
    for (int i = 0; i < count; i++) {
        while (now() < began + open_seconds * i / count)
            hear(5);
        come(&all[i], (enum kind)(i % KINDS), i / KINDS % 2, i % KINDS == HALF ? secure : plain);
        if (i % 64 == 0)
            drip(all, i + 1);
    }
    for (double last = now(); left > 0 && now() < last + seconds;) {
        hear(50);
        drip(all, count);
    }
    printf("{\"came\": %d, \"refused\": %d, \"left\": %d, \"silent\": %.3f, \"dripping\": %.3f, "
           "\"half\": %.3f}\n",
           count, refused, left, longest[SILENT], longest[DRIPPING], longest[HALF]);
    return 0;
}
