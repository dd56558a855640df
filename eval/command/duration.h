/* How long: as people write it, and as Slurm does. */
#ifndef BS_EVAL_COMMAND_DURATION_H
#define BS_EVAL_COMMAND_DURATION_H

/* Seconds of "90s", "30m", "1.5h", "2d", or of Slurm's "30:00", "12:30:00", "2-12", "2-12:30",
 * "2-12:30:00"; a bare number is so many times `bare`. 0 where it is none of these, or no time. */
double bs_duration(const char *text, double bare);

#endif
