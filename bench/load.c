/*
 * Mail programs in numbers: what a proxy is measured with.
 *
 *     load login PORT TLS PREFIX USERS PASSWORD SECONDS THREADS RATE
 *     load noop  PORT TLS PREFIX USERS PASSWORD SECONDS
 *     load bulk  PORT TLS PREFIX USERS PASSWORD SECONDS
 *     load idle  PORT TLS PREFIX USERS PASSWORD COUNT...
 *
 * `login` connects, logs in, selects INBOX and logs out, until SECONDS are over: each thread as fast
 * as it can, or, with a RATE above 0, all threads together so many times a second. `noop` measures round
 * trips in one session, `bulk` fetches the first message again and again in one. `idle` opens COUNT
 * sessions, says so, and goes on to the next COUNT with every line on its standard input; it ends
 * with that. Users are PREFIX1@bench.test to PREFIX<USERS>@bench.test, one after the other. TLS is
 * 1, from the first octet, or 0. Each prints lines of JSON; times are in seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_TIMES 4000000
#define MOST_THREADS 256
#define OPENERS 16
#define PATIENCE 30

struct link {
    int fd, at, length;
    SSL *tls;
    char in[4096];
};

static struct {
    int port, tls, users, threads;
    const char *prefix, *password;
    double seconds, rate;
} job;

static SSL_CTX *context;
static float *times; /* of operations that went well, in the order in which they ended */
static atomic_long taken, done, failed;
static double began, ends;
static char reason[200];

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void sleep_until(double when)
{
    double left = when - now();
    if (left > 0) {
        struct timespec pause = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        nanosleep(&pause, NULL);
    }
}

static void close_link(struct link *link)
{
    if (link->tls)
        SSL_free(link->tls);
    if (link->fd >= 0)
        close(link->fd);
    link->tls = NULL;
    link->fd = -1;
}

static int open_link(struct link *link)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {PATIENCE, 0};
    int one = 1;
    to.sin_port = htons((uint16_t)job.port);
    link->at = link->length = 0;
    link->tls = NULL;
    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (link->fd < 0 || connect(link->fd, (struct sockaddr *)&to, sizeof to) < 0)
        return 0;
    if (!job.tls)
        return 1;
    link->tls = SSL_new(context);
    SSL_set_fd(link->tls, link->fd);
    return SSL_connect(link->tls) == 1;
}

static int send_all(struct link *link, const char *text)
{
    int length = (int)strlen(text);
    if (link->tls)
        return SSL_write(link->tls, text, length) == length;
    return send(link->fd, text, (size_t)length, MSG_NOSIGNAL) == length;
}

static int fill(struct link *link)
{
    int n = link->tls ? SSL_read(link->tls, link->in, sizeof link->in)
                      : (int)recv(link->fd, link->in, sizeof link->in, 0);
    link->at = 0;
    link->length = n > 0 ? n : 0;
    return n > 0;
}

/* Reads one line without its end; what does not fit is cut off. */
static int read_line(struct link *link, char *line, int most)
{
    int length = 0;
    for (;;) {
        if (link->at == link->length && !fill(link))
            return 0;
        char octet = link->in[link->at++];
        if (octet == '\n') {
            line[length && line[length - 1] == '\r' ? length - 1 : length] = 0;
            return 1;
        }
        if (length < most - 1)
            line[length++] = octet;
    }
}

/* Reads so many octets and throws them away: plain ones are not even copied out of the kernel. */
static int skip(struct link *link, long left)
{
    static __thread char waste[1 << 18];
    long here = link->length - link->at < left ? link->length - link->at : left;
    link->at += (int)here;
    for (left -= here; left > 0;) {
        size_t part = left < (long)sizeof waste ? (size_t)left : sizeof waste;
        long n = link->tls ? SSL_read(link->tls, waste, (int)part)
                           : recv(link->fd, NULL, (size_t)left, MSG_TRUNC);
        if (n <= 0)
            return 0;
        left -= n;
    }
    return 1;
}

/* Sends a command and reads until its tagged OK; `octets` counts the literals on the way. */
static int command(struct link *link, const char *text, long *octets)
{
    char line[512];
    if (!send_all(link, text))
        return 0;
    for (;;) {
        if (!read_line(link, line, sizeof line))
            return 0;
        size_t length = strlen(line);
        if (length && line[0] == '*' && line[length - 1] == '}') {
            long size = atol(strrchr(line, '{') + 1);
            if (!skip(link, size))
                return 0;
            if (octets)
                *octets += size;
        } else if (line[0] == 'a' && line[1] == ' ') {
            if (!strncmp(line, "a OK", 4))
                return 1;
            snprintf(reason, sizeof reason, "%.190s", line);
            for (char *at = reason; *at; at++)
                if (*at == '"' || *at == '\\' || (unsigned char)*at < 32)
                    *at = ' ';
            return 0;
        }
    }
}

static int log_in(struct link *link, long number)
{
    char text[256];
    if (!open_link(link) || !read_line(link, text, sizeof text) || strncmp(text, "* OK", 4))
        return 0;
    snprintf(text, sizeof text, "a LOGIN %s%ld@bench.test %s\r\n", job.prefix, number % job.users + 1,
             job.password);
    return command(link, text, NULL);
}

static int log_out(struct link *link)
{
    int good = command(link, "a LOGOUT\r\n", NULL);
    while (good && fill(link))
        ;
    return good;
}

static void went_well(double seconds)
{
    long index = atomic_fetch_add(&done, 1);
    if (index < MOST_TIMES)
        times[index] = (float)seconds;
}

static void *log_in_again_and_again(void *unused)
{
    struct link link;
    (void)unused;
    for (;;) {
        long number = atomic_fetch_add(&taken, 1);
        double start = job.rate > 0 ? began + (double)number / job.rate : now();
        if (start >= ends && number > 0) /* on a machine that is busy otherwise one is done at least */
            return NULL;
        sleep_until(start);
        int good = log_in(&link, number);
        double seconds = now() - start;
        if (good && command(&link, "a SELECT INBOX\r\n", NULL) && log_out(&link))
            went_well(seconds);
        else
            atomic_fetch_add(&failed, 1);
        close_link(&link);
        if (now() >= ends)
            return NULL;
    }
}

static int by_size(const void *a, const void *b)
{
    float difference = *(const float *)a - *(const float *)b;
    return (difference > 0) - (difference < 0);
}

static double part(double share)
{
    long count = done < MOST_TIMES ? done : MOST_TIMES;
    long index = (long)(share * (double)count);
    return count ? (double)times[index < count ? index : count - 1] : 0;
}

static void report(double used, long octets)
{
    double seconds = now() - began;
    long count = done < MOST_TIMES ? done : MOST_TIMES;
    qsort(times, (size_t)count, sizeof *times, by_size);
    printf("{\"seconds\": %.6f, \"cpu\": %.6f, \"done\": %ld, \"failed\": %ld, \"octets\": %ld, "
           "\"p50\": %.7f, \"p99\": %.7f, \"worst\": %.7f, \"reason\": \"%s\"}\n",
           seconds, used, done, failed, octets, part(0.5), part(0.99), part(1), reason);
}

static void logins(void)
{
    pthread_t threads[MOST_THREADS];
    double used = cpu();
    began = now();
    ends = began + job.seconds;
    for (int i = 0; i < job.threads; i++)
        pthread_create(&threads[i], NULL, log_in_again_and_again, NULL);
    for (int i = 0; i < job.threads; i++)
        pthread_join(threads[i], NULL);
    report(cpu() - used, 0);
}

static void one_session(const char *text)
{
    struct link link;
    long octets = 0;
    if (!log_in(&link, 0) || !command(&link, "a SELECT INBOX\r\n", NULL) || !command(&link, text, NULL)) {
        failed = 1;
        report(0, 0);
        return;
    }
    double used = cpu();
    began = now();
    ends = began + job.seconds;
    for (double start = began; start < ends;) {
        if (!command(&link, text, &octets)) {
            failed = 1;
            break;
        }
        double end = now();
        went_well(end - start);
        start = end;
    }
    report(cpu() - used, octets);
    log_out(&link);
    close_link(&link);
}

static struct link *sessions;

static void *open_sessions(void *goal)
{
    for (;;) {
        long number = atomic_fetch_add(&taken, 1);
        if (number >= *(long *)goal) {
            atomic_fetch_sub(&taken, 1);
            return NULL;
        }
        if (log_in(&sessions[number], number))
            atomic_fetch_add(&done, 1);
        else
            atomic_fetch_add(&failed, 1);
    }
}

static void idle(int stages, char **counts)
{
    char line[16];
    long most = atol(counts[stages - 1]);
    sessions = calloc((size_t)most, sizeof *sessions);
    for (int stage = 0; stage < stages; stage++) {
        long goal = atol(counts[stage]);
        pthread_t threads[OPENERS];
        for (int i = 0; i < OPENERS; i++)
            pthread_create(&threads[i], NULL, open_sessions, &goal);
        for (int i = 0; i < OPENERS; i++)
            pthread_join(threads[i], NULL);
        printf("{\"open\": %ld, \"failed\": %ld, \"reason\": \"%s\"}\n", done, failed, reason);
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin))
            return;
    }
}

int main(int count, char **words)
{
    struct rlimit files;
    if (count < 8)
        return 2;
    job.port = atoi(words[2]);
    job.tls = atoi(words[3]);
    job.prefix = words[4];
    job.users = atoi(words[5]);
    job.password = words[6];
    if (strcmp(words[1], "idle")) {
        job.seconds = atof(words[7]);
        job.threads = count > 8 ? atoi(words[8]) : 1;
        job.rate = count > 9 ? atof(words[9]) : 0;
    }
    if (job.users < 1 || job.threads > MOST_THREADS)
        return 2;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    times = malloc(MOST_TIMES * sizeof *times);
    if (!strcmp(words[1], "login"))
        logins();
    else if (!strcmp(words[1], "noop"))
        one_session("a NOOP\r\n");
    else if (!strcmp(words[1], "bulk"))
        one_session("a UID FETCH 1 (UID BODY.PEEK[])\r\n");
    else if (!strcmp(words[1], "idle"))
        idle(count - 7, words + 7);
    else
        return 2;
    return 0;
}
