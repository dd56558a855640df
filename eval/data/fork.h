/* Forks: a window whose rows share their beginning. The model goes through what is shared once;
 * each branch goes on from there as if it stood alone after it, with the positions that follow and
 * without seeing the others; and so may branches of a branch. What comes out is, to the bit, what
 * whole rows would give. */
#ifndef BS_EVAL_DATA_FORK_H
#define BS_EVAL_DATA_FORK_H

/* A run of ids that goes on after `position` ids of what it branches off. */
struct bs_branch {
    int begin;    /* in the window; it ends where the next begins */
    int position; /* of its first id */
};

/* How a window of ids branches. A branch goes on after the last one before it that has ids below
 * its position: branches of a branch follow it. */
struct bs_fork {
    int tokens;   /* ids of the window: the shared ones, then branch after branch */
    int shared;   /* ids that every row begins with; `tokens` where there are no branches */
    int branches; /* 0: the window is one row */
    const struct bs_branch *branch; /* [branches] */
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
    const struct bs_branch *branch = &fork->branch[i - 1];
    int end = i < fork->branches ? branch[1].begin : fork->tokens;
    return (struct bs_segment){branch->begin, end - branch->begin, branch->position};
}

/* Tokens of the longest row: the shared part with the branches that it goes through. */
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
