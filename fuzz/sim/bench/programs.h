/* programs.h: for sim_run; what they do is told in main.c. */
#ifndef BENCH_PROGRAMS_H
#define BENCH_PROGRAMS_H
void message_passing(void *);
void mailbox(void *);
#endif
