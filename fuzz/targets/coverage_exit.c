/* coverage_exit.c: used only by `make coverage`: makes a process that ends by _exit() write its
 * counters, too. The linker puts __wrap__exit in place of _exit (rules.mk). */
#include <unistd.h>

int __llvm_profile_write_file(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

_Noreturn void __wrap__exit(int status) {
    (void)__llvm_profile_write_file();
    __real__exit(status);
}
