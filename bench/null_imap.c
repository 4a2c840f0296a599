/*
 * An IMAP server that does next to nothing, so that a bench measures what stands before it.
 *
 *     null_imap PASSWORD OCTETS
 *
 * It listens on a free port of 127.0.0.1, prints the port, and serves until its standard input ends:
 * one process, one thread, epoll. Any name may log in with PASSWORD (one that takes every password
 * would not be believed by who looks behind it); INBOX holds one message of OCTETS octets, served
 * from memory. Commands may come with literals, and AUTHENTICATE with or without initial response.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CAPABILITIES "IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN ID NAMESPACE UIDPLUS"
#define MOST_INPUT 1024
#define MOST_OUTPUT 2048

struct client {
    int fd;
    int in_length;
    int out_length, out_sent;
    int tail_length;
    int waits_to_write, leaving;
    long literal_left; /* octets of a literal that are still to come */
    size_t body_left;  /* octets of the message that go out behind `out` */
    int auth;          /* the next line answers our SASL prompt */
    int command_length;
    char tag[64];
    char command[MOST_INPUT]; /* the command so far, its literals included */
    char in[MOST_INPUT];
    char out[MOST_OUTPUT];
    char tail[160]; /* goes out behind the message */
};

static const char *password;
static char *message;
static size_t message_length;
static int poller;

static void say(struct client *c, const char *text)
{
    int length = (int)strlen(text);
    if (c->body_left || c->tail_length) {
        if (c->tail_length + length <= (int)sizeof c->tail) {
            memcpy(c->tail + c->tail_length, text, (size_t)length);
            c->tail_length += length;
        }
    } else if (c->out_length + length <= MOST_OUTPUT) {
        memcpy(c->out + c->out_length, text, (size_t)length);
        c->out_length += length;
    }
}

static void say_tagged(struct client *c, const char *text)
{
    char line[320];
    snprintf(line, sizeof line, "%s %s\r\n", c->tag, text);
    say(c, line);
}

static int base64_digit(int digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = digit ? strchr(digits, digit) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Whether a SASL PLAIN answer ends with the password. */
static int proves(const char *encoded)
{
    char plain[MOST_INPUT];
    size_t length = 0, wanted = strlen(password);
    unsigned bits = 0;
    int held = 0;
    for (; *encoded && base64_digit(*encoded) >= 0; encoded++) {
        bits = bits << 6 | (unsigned)base64_digit(*encoded);
        held += 6;
        if (held >= 8) {
            held -= 8;
            plain[length++] = (char)(bits >> held);
        }
    }
    return length >= wanted && memcmp(plain + length - wanted, password, wanted) == 0;
}

static void answer_login(struct client *c, int good)
{
    say_tagged(c, good ? "OK [CAPABILITY " CAPABILITIES "] Logged in" : "NO [AUTHENTICATIONFAILED] Wrong");
}

static void run_command(struct client *c)
{
    char *verb = strchr(c->command, ' ');
    char line[200];
    size_t tag = verb ? (size_t)(verb - c->command) : 0;
    if (!verb || tag >= sizeof c->tag) {
        say(c, "* BAD what?\r\n");
        return;
    }
    memcpy(c->tag, c->command, tag);
    c->tag[tag] = 0;
    verb++;
    if (!strncasecmp(verb, "UID ", 4))
        verb += 4;
    if (!strncasecmp(verb, "LOGIN ", 6)) {
        answer_login(c, strstr(verb + 6, password) != NULL);
    } else if (!strncasecmp(verb, "AUTHENTICATE PLAIN", 18)) {
        if (verb[18] == ' ') {
            answer_login(c, proves(verb + 19));
        } else {
            c->auth = 1;
            say(c, "+ \r\n");
        }
    } else if (!strncasecmp(verb, "CAPABILITY", 10)) {
        say(c, "* CAPABILITY " CAPABILITIES "\r\n");
        say_tagged(c, "OK done");
    } else if (!strncasecmp(verb, "SELECT", 6) || !strncasecmp(verb, "EXAMINE", 7)) {
        say(c, "* 1 EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n"
               "* OK [UIDVALIDITY 1] fixed\r\n* OK [UIDNEXT 2] next\r\n");
        say_tagged(c, "OK [READ-WRITE] done");
    } else if (!strncasecmp(verb, "FETCH", 5)) {
        snprintf(line, sizeof line, "* 1 FETCH (UID 1 BODY[] {%zu}\r\n", message_length);
        say(c, line);
        c->body_left = message_length;
        say(c, ")\r\n");
        say_tagged(c, "OK done");
    } else if (!strncasecmp(verb, "NAMESPACE", 9)) {
        say(c, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
        say_tagged(c, "OK done");
    } else if (!strncasecmp(verb, "LIST", 4)) {
        say(c, "* LIST (\\Noselect) \"/\" \"\"\r\n");
        say_tagged(c, "OK done");
    } else if (!strncasecmp(verb, "LOGOUT", 6)) {
        say(c, "* BYE done\r\n");
        say_tagged(c, "OK done");
        c->leaving = 1;
    } else {
        say_tagged(c, "OK done");
    }
}

/* One line without its end; a literal announced at its end keeps the command open. */
static void take_line(struct client *c, const char *line, int length)
{
    if (c->auth) {
        char text[MOST_INPUT];
        memcpy(text, line, (size_t)length);
        text[length] = 0;
        c->auth = 0;
        c->command_length = 0;
        answer_login(c, proves(text));
        return;
    }
    if (c->command_length + length + 2 > MOST_INPUT) {
        c->leaving = 1;
        return;
    }
    memcpy(c->command + c->command_length, line, (size_t)length);
    c->command_length += length;
    c->command[c->command_length] = 0;
    if (length > 2 && line[length - 1] == '}') {
        const char *open = memrchr(line, '{', (size_t)length);
        if (open && isdigit((unsigned char)open[1])) {
            c->literal_left = atol(open + 1);
            if (line[length - 2] != '+')
                say(c, "+ OK\r\n");
            return;
        }
    }
    c->command_length = 0;
    run_command(c);
}

static void take_input(struct client *c)
{
    int at = 0;
    while (at < c->in_length && !c->leaving) {
        if (c->literal_left > 0) {
            int part = c->in_length - at;
            if (part > c->literal_left)
                part = (int)c->literal_left;
            if (c->command_length + part + 2 > MOST_INPUT) {
                c->leaving = 1;
                break;
            }
            memcpy(c->command + c->command_length, c->in + at, (size_t)part);
            c->command_length += part;
            c->literal_left -= part;
            at += part;
            continue;
        }
        char *end = memchr(c->in + at, '\n', (size_t)(c->in_length - at));
        if (!end)
            break;
        int length = (int)(end - (c->in + at));
        int next = at + length + 1;
        if (length > 0 && c->in[at + length - 1] == '\r')
            length--;
        take_line(c, c->in + at, length);
        at = next;
    }
    memmove(c->in, c->in + at, (size_t)(c->in_length - at));
    c->in_length -= at;
}

/* Returns 0 when the connection is over. */
static int write_out(struct client *c)
{
    for (;;) {
        ssize_t n;
        if (c->out_sent < c->out_length) {
            int more = c->body_left || c->tail_length ? MSG_MORE : 0;
            n = send(c->fd, c->out + c->out_sent, (size_t)(c->out_length - c->out_sent), MSG_NOSIGNAL | more);
            if (n > 0)
                c->out_sent += (int)n;
        } else if (c->body_left) {
            n = send(c->fd, message + message_length - c->body_left, c->body_left, MSG_NOSIGNAL);
            if (n > 0)
                c->body_left -= (size_t)n;
        } else if (c->tail_length) {
            memcpy(c->out, c->tail, (size_t)c->tail_length);
            c->out_length = c->tail_length;
            c->out_sent = c->tail_length = 0;
            continue;
        } else {
            c->out_length = c->out_sent = 0;
            n = 1;
        }
        if (n < 0 && errno != EAGAIN)
            return 0;
        int blocked = n < 0;
        if (blocked != c->waits_to_write) {
            struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = c};
            c->waits_to_write = blocked;
            epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
        }
        if (blocked)
            return 1;
        if (!c->out_length && !c->body_left)
            return !c->leaving;
    }
}

static int on_event(struct client *c, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        if (c->in_length == MOST_INPUT)
            return 0;
        ssize_t n = recv(c->fd, c->in + c->in_length, (size_t)(MOST_INPUT - c->in_length), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return 0;
        if (n > 0) {
            c->in_length += (int)n;
            take_input(c);
        }
    }
    return write_out(c);
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (!c) {
            close(fd);
            return;
        }
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        say(c, "* OK [CAPABILITY " CAPABILITIES "] ready\r\n");
        write_out(c);
    }
}

static int listening(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0)
        exit(1);
    getsockname(fd, (struct sockaddr *)&at, &length);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int count, char **words)
{
    static int input, listener; /* their addresses tell their events from those of clients */
    struct epoll_event events[256], event = {.events = EPOLLIN};
    struct rlimit files;
    if (count != 3)
        return 2;
    password = words[1];
    message_length = (size_t)atol(words[2]);
    message = malloc(message_length + 1);
    for (size_t i = 0; i < message_length; i++)
        message[i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : (char)('a' + i % 26);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = listening();
    event.data.ptr = &listener;
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = &input;
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == &input)
                return 0;
            if (events[i].data.ptr == &listener) {
                accept_all(listener);
            } else if (!on_event(events[i].data.ptr, events[i].events)) {
                struct client *c = events[i].data.ptr;
                close(c->fd);
                free(c);
            }
        }
    }
}
