/* asan.h: whether the address sanitizer is compiled in. */
#ifndef ASAN_H
#define ASAN_H

/* 1 if the address sanitizer is compiled in. Its functions are named nowhere else, so a search for
 * sanitizer calls in another build finds none. */
#if defined(__SANITIZE_ADDRESS__)
#define CRASH_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CRASH_HAS_ASAN 1
#endif
#endif
#ifndef CRASH_HAS_ASAN
#define CRASH_HAS_ASAN 0
#endif

#endif
