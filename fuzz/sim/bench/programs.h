/* programs.h: programs for sim_run; main.c describes them. */
#ifndef BENCH_PROGRAMS_H
#define BENCH_PROGRAMS_H
void message_passing(void *);
void mailbox(void *);
#endif
