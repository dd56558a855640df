/* Forks: a window whose rows share their beginning. The model goes through what is shared once;
 * each branch goes on from there as if it stood alone after it, with the positions that follow and
 * without seeing the others. What comes out is, to the bit, what whole rows would give. */
#ifndef BS_EVAL_DATA_FORK_H
#define BS_EVAL_DATA_FORK_H

/* How a window of ids branches. */
struct bs_fork {
    int tokens;        /* ids of the window: the shared ones, then branch after branch */
    int shared;        /* ids that every branch begins with; `tokens` where there are no branches */
    int branches;      /* 0: the window is one row */
    const int *begins; /* [branches], where each begins in the window */
};

/* A run of ids within a window whose positions follow one another. */
struct bs_segment {
    int begin, count; /* in the window */
    int position;     /* of its first id */
};

/* A window that is one row. */
static inline struct bs_fork bs_fork_none(int tokens)
{
    return (struct bs_fork){.tokens = tokens, .shared = tokens};
}

/* Segment i of the branches + 1 that the window has: the shared part (it may be empty), then each
 * branch. */
static inline struct bs_segment bs_fork_segment(const struct bs_fork *fork, int i)
{
    if (i == 0)
        return (struct bs_segment){0, fork->shared, 0};
    int begin = fork->begins[i - 1], end = i < fork->branches ? fork->begins[i] : fork->tokens;
    return (struct bs_segment){begin, end - begin, fork->shared};
}

/* Tokens of the longest row: the shared part with one branch. */
static inline int bs_fork_depth(const struct bs_fork *fork)
{
    int depth = fork->shared;
    for (int i = 1; i <= fork->branches; i++) {
        struct bs_segment s = bs_fork_segment(fork, i);
        depth = s.position + s.count > depth ? s.position + s.count : depth;
    }
    return depth;
}

#endif
