/* How a failure travels: a status, and a message a user can act on. */
#ifndef BS_EVAL_BASE_ERROR_H
#define BS_EVAL_BASE_ERROR_H

/* What came of a call: BS_OK is 0, so that `if (status)` asks whether it failed. */
enum bs_status {
    BS_OK = 0,
    BS_ENOMEM,       /* memory ran out, or --memory does not suffice */
    BS_EIO,          /* a file could not be read or written */
    BS_ECONFIG,      /* the config file or the command line is wrong */
    BS_EDATA,        /* a model, tokenizer, text or result file is damaged */
    BS_ENUMERIC,     /* a value is not finite, or a factorisation failed */
    BS_EUNSUPPORTED, /* a well-formed input asks for something bitsweep does not do */
    BS_ESTOPPED,     /* a signal asked to stop */
};

/* Filled by the function that fails first. The message is one or more lines without a final
 * newline: lower case, cause first, naming the file and the place. */
struct bs_error {
    enum bs_status status;
    char message[4096];
};

/* Sets err and returns status, so that a caller writes `return bs_fail(err, ...)`. The message is
 * one line: control characters in it are escaped (see printable.h). */
enum bs_status bs_fail(struct bs_error *err, enum bs_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message and returns err->status. */
enum bs_status bs_fail_within(struct bs_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* BS_ENOMEM with the usual message. */
enum bs_status bs_fail_memory(struct bs_error *err);

#endif
