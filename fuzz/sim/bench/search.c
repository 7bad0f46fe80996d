/* search.c: the cost of the exhaustive search, by program: graphs, executions per graph, executions
 * per second, peak memory. Status 1 if a number of graphs differs from the known one. */
#include "../sim.h"
#include "searched.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int row(const struct searched *p, double seconds_max) {
    static struct sim_explored e;
    struct sim_explore_options o = sim_explore_options_default();
    o.seconds_max = seconds_max;
    o.loop_max = p->loop_max;
    sim_explore(&o, p->run, NULL, &e);
    bool wrong = e.finding || (e.complete && p->graphs && e.graphs != p->graphs);
    uint64_t all = e.graphs + e.blocked;
    printf("%-30s %10llu %10llu %8.3f %9.3f %11.0f %7.1f  %s%s%s\n", p->name,
           (unsigned long long)e.graphs, (unsigned long long)e.dead_ends,
           all ? (double)e.executions / (double)all : 0.0,
           (double)e.executions / (double)(all + e.dead_ends + e.cut),
           (double)e.executions / e.seconds, (double)e.peak_bytes / 1048576,
           e.complete ? "all" : "NOT all", wrong ? ", WRONG: " : "", e.finding ? e.finding : "");
    if (wrong && !e.finding) {
        printf("%llu graphs are right\n", (unsigned long long)p->graphs);
    }
    fflush(stdout);
    return wrong;
}

int main(int argc, char **argv) {
    double seconds_max = argc > 1 ? atof(argv[1]) : 60;
    int wrong = 0;
    printf("%-30s %10s %10s %8s %9s %11s %7s\n", "searched exhaustively", "graphs", "dead ends",
           "/graph", "with dead", "a second", "MiB");
    fflush(stdout);
    for (const struct searched *p = searched; p->name; p++) {
        pid_t child = fork(); /* in a child process, so that its peak memory is its own */
        if (child == 0) {
            _exit(row(p, seconds_max));
        }
        int status = 1;
        if (child < 0 || waitpid(child, &status, 0) < 0 || status) {
            wrong = 1;
        }
    }
    return wrong;
}
