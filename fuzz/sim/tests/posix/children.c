/* children.c: two threads each start a child, in either order.
 * expect: pass sched=exhaustive */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
static atomic_int x, y;
static void *leaf(void *p) {
    atomic_fetch_add(&x, *(int *)p);
    return 0;
}
static int one = 1, ten = 10;
static void *mid(void *p) {
    pthread_t t;
    if (p) {
        if (!atomic_load(&y)) {
            return 0;
        }
    } else {
        atomic_store(&y, 1);
        atomic_load(&x);
    }
    pthread_create(&t, 0, leaf, p ? &one : &ten);
    pthread_join(t, 0);
    return 0;
}
int main(void) {
    pthread_t a, b;
    pthread_create(&a, 0, mid, (void *)1);
    pthread_create(&b, 0, mid, 0);
    pthread_join(a, 0);
    pthread_join(b, 0);
    assert(x == 10 || x == 11);
    return 0;
}
