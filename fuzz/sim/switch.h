/* Switching between stacks by hand: sim_switch saves what the calling convention preserves on the
 * old stack and continues on the new one (x86-64 and arm64). */
#ifndef SIM_SWITCH_H
#define SIM_SWITCH_H

#include <stdint.h>
#include <string.h>

/* Save the current stack pointer in *from and continue at to (saved the same way, or made by
 * stack_prepare). */
void sim_switch(void **from, void *to);

#if defined(__x86_64__)
__asm__(".text\n.globl sim_switch\n.hidden sim_switch\n.type sim_switch,@function\nsim_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n"
        ".size sim_switch,.-sim_switch\n");

static inline void *stack_prepare(char *top, void (*entry)(void)) {
    uintptr_t *sp = (uintptr_t *)((uintptr_t)top & ~(uintptr_t)15);
    *--sp = 0; /* entry finds the stack as after a call */
    *--sp = (uintptr_t)entry;
    for (int i = 0; i < 6; i++)
        *--sp = 0;
    return sp;
}
#elif defined(__aarch64__)
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
