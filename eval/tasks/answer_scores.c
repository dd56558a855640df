#include "eval/tasks/answer_scores.h"

#include <math.h>

const char *const bs_convention_names[BS_NUM_CONVENTIONS] = {
    [BS_ACC] = "acc",
    [BS_ACC_NORM] = "acc_norm",
    [BS_ACC_BYTES] = "acc_bytes",
    [BS_ACC_TOKENS] = "acc_tokens",
    [BS_ACC_MUTUAL_INFO] = "acc_mutual_info",
    [BS_ACC_SUFFIX] = "acc_suffix",
};

const char bs_target_perplexity[] = "target_perplexity";

double bs_answer_score(const struct bs_answer *answer, enum bs_convention convention)
{
    switch (convention) {
    case BS_ACC_NORM:
        return answer->log_likelihood / answer->characters;
    case BS_ACC_BYTES:
        return answer->log_likelihood / answer->bytes;
    case BS_ACC_TOKENS:
        return answer->log_likelihood / answer->tokens;
    case BS_ACC_MUTUAL_INFO:
        return answer->log_likelihood - answer->unconditional;
    case BS_ACC_SUFFIX:
        return answer->suffix;
    default:
        return answer->log_likelihood;
    }
}

int bs_answers_take(const struct bs_answer *rows, int count, enum bs_convention convention)
{
    int best = 0;
    double highest = -(double)INFINITY;
    for (int i = 0; i < count; i++) {
        double score = bs_answer_score(&rows[i], convention);
        if (isnan(score))
            return -1;
        if (score > highest) {
            highest = score;
            best = i;
        }
    }
    return best;
}

bool bs_answers_right(const struct bs_answers *answers, enum bs_convention convention,
                      uint8_t *right)
{
    for (int first = 0, count; first < answers->count; first += count) {
        const struct bs_answer *rows = &answers->rows[first];
        bool one_continuation = isnan(rows->suffix);
        count = bs_answers_of_item(answers, first);
        if (one_continuation && convention != BS_ACC)
            return false;
        int taken = count == 1 ? 0 : bs_answers_take(rows, count, convention);
        if (taken < 0)
            return false;
        right[rows->item] = count == 1 ? rows->greedy == 1 : rows[taken].gold == 1;
    }
    return answers->count > 0;
}
