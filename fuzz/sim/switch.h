/* switch.h: switches between stacks, in assembly (x86-64 and arm64). */
#ifndef SIM_SWITCH_H
#define SIM_SWITCH_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
/* Save the current stack pointer in *from and continue at `to` (saved the same way, or made by
 * stack_prepare). Uses jumps rather than call and ret, because the processor's return predictor
 * mispredicts less when two threads stand at the same call depth. */
static inline void sim_switch(void **from, void *to) {
    __asm__ volatile("lea -128(%%rsp), %%rsp\n" /* skip the red zone */
                     "  push %%rbp\n  lea 1f(%%rip), %%rax\n  push %%rax\n"
                     "  mov %%rsp, (%0)\n  mov %1, %%rsp\n  pop %%rax\n  jmp *%%rax\n"
                     "1:  pop %%rbp\n  lea 128(%%rsp), %%rsp\n"
                     : "+D"(from), "+S"(to)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc",
                       "memory");
}

static inline void *stack_prepare(char *top, void (*entry)(void)) {
    uintptr_t *sp = (uintptr_t *)((uintptr_t)top & ~(uintptr_t)15);
    *--sp = 0; /* entry finds the stack as after a call */
    *--sp = (uintptr_t)entry;
    return sp;
}
#elif defined(__aarch64__)
void sim_switch(void **from, void *to);
__asm__(".text\n.globl sim_switch\n.hidden sim_switch\n.type sim_switch,%function\nsim_switch:\n"
        "  stp x29, x30, [sp, #-160]!\n  stp x19, x20, [sp, #16]\n  stp x21, x22, [sp, #32]\n"
        "  stp x23, x24, [sp, #48]\n  stp x25, x26, [sp, #64]\n  stp x27, x28, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n"
        "  stp d14, d15, [sp, #144]\n  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp, #16]\n  ldp x21, x22, [sp, #32]\n"
        "  ldp x23, x24, [sp, #48]\n  ldp x25, x26, [sp, #64]\n  ldp x27, x28, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n"
        "  ldp d14, d15, [sp, #144]\n  ldp x29, x30, [sp], #160\n  ret\n"
        ".size sim_switch,.-sim_switch\n");

static inline void *stack_prepare(char *top, void (*entry)(void)) {
    char *sp = (char *)((uintptr_t)top & ~(uintptr_t)15) - 160;
    memset(sp, 0, 160);
    ((uintptr_t *)(void *)sp)[1] = (uintptr_t)entry; /* x30 */
    return sp;
}
#else
#error "the stack switch is written for x86-64 and arm64"
#endif
#endif
