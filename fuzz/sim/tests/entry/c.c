/* c.c: uses every kind of entry point that compilers emit under -fsanitize=thread. It is only
 * linked (entry.sh). */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
_Atomic uint8_t a8;
_Atomic uint16_t a16;
_Atomic uint32_t a32;
_Atomic uint64_t a64;
volatile int v;
volatile char vc;
struct s {
    char b[100];
} s1, s2;
atomic_flag fl;
int arr[100];
struct __attribute__((packed)) pk {
    char c;
    int i;
    long l;
} pk;
#define ALL(x, T)                                                                \
    do {                                                                         \
        T e = 1;                                                                 \
        x = 1;                                                                   \
        (void)x;                                                                 \
        x += 1;                                                                  \
        x -= 1;                                                                  \
        x |= 1;                                                                  \
        x &= 3;                                                                  \
        x ^= 1;                                                                  \
        atomic_exchange(&x, 2);                                                  \
        atomic_compare_exchange_weak(&x, &e, 2);                                 \
        atomic_compare_exchange_strong_explicit(&x, &e, 2, memory_order_acq_rel, \
                                                memory_order_relaxed);           \
    } while (0)
int f(int *p, int n) {
    ALL(a8, uint8_t);
    ALL(a16, uint16_t);
    ALL(a32, uint32_t);
    ALL(a64, uint64_t);
    v++;
    vc = 1;
    s1 = s2;
    memcpy(&s1, p, (size_t)n);
    memmove(&s2, p, (size_t)n);
    memset(&s1, 0, (size_t)n);
    atomic_thread_fence(5);
    atomic_signal_fence(5);
    atomic_flag_test_and_set(&fl);
    atomic_flag_clear(&fl);
    pk.i++;
    pk.l++;
    for (int i = 0; i < n; i++) {
        arr[i] += p[i];
    }
    uint32_t q;
    __atomic_load((uint32_t *)&a32, &q, 5);
    return (int)__atomic_fetch_nand((uint32_t *)&a32, 3, 5) + (int)q +
           (memcmp(p, &s1, (size_t)n) != 0);
}
int main(void) {
    return 0;
}
