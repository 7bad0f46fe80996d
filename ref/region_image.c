/* region_image.c: frozen images, and the strategy image: copies are copy-on-write views of one.
 *
 * A view of a file that is still written to is no copy: it sees later writes. So the first copy
 * freezes a full image; the source, where no guest races, becomes a view of it as well. The next
 * copy is a view of the same image plus the pages that were written since, as the kernel tells. */
/* SPDX-License-Identifier: MIT */
#include "guest_bytes.h"
#include "lock.h"
#include "orders.h"
#include "os.h"
#include "pages.h"
#include "strategy.h"

struct pb_image {
    _Atomic uint32_t references;
    int file;
    uint64_t bytes;
    struct pb_os_account account; /* of what its views have written */
    const struct pb_allocator *allocator;
    struct pb_lock lock; /* guards what follows */
    uint8_t *host_view;  /* for resets by hand; NULL until one needs it */
};

/* ---- Images --------------------------------------------------------------------------------- */

/* Writes bytes that guests may be writing, piece by piece through a buffer. */
static enum pb_status write_racing(int file, const uint8_t *from, uint64_t count) {
    uint8_t piece[16384];
    enum pb_status status = PB_OK;
    for (uint64_t at = 0; at < count && status == PB_OK; at += sizeof piece) {
        uint64_t bytes = count - at < sizeof piece ? count - at : sizeof piece;
        pb_bytes_from_guest(piece, from + at, (size_t)bytes);
        status = pb_os_file_write(file, at, piece, bytes);
    }
    return status;
}

static enum pb_status image_of(const void *data, uint64_t count, bool racing,
                               const struct pb_allocator *allocator, struct pb_image **image) {
    uint64_t host = pb_os_page_bytes();
    if (count == 0 || count > pb_pages_to_bytes(PB_PAGES_MAX)) {
        return PB_INVALID;
    }
    struct pb_image *made = allocator->allocate_zeroed(allocator->context, sizeof *made);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    made->bytes = (count + host - 1) / host * host;
    made->allocator = allocator;
    atomic_init(&made->references, 1);
    enum pb_status status = pb_os_file_create(made->bytes, &made->file);
    if (status != PB_OK) {
        allocator->release(allocator->context, made);
        return status;
    }
    status = racing ? write_racing(made->file, data, count)
                    : pb_os_file_write(made->file, 0, data, count);
    if (status == PB_OK) {
        status = pb_os_file_freeze(made->file);
    }
    if (status != PB_OK) {
        pb_image_release(made);
        return status;
    }
    *image = made;
    return PB_OK;
}

enum pb_status pb_image_create(const void *data, uint64_t count,
                               const struct pb_allocator *allocator, struct pb_image **image) {
    return image_of(data, count, false, allocator != NULL ? allocator : &pb_allocator_libc, image);
}

struct pb_image *pb_image_retain(struct pb_image *image) {
    atomic_fetch_add_explicit(&image->references, 1, PB_ORDER_REFERENCE_TAKE);
    return image;
}

void pb_image_release(struct pb_image *image) {
    if (image != NULL &&
        atomic_fetch_sub_explicit(&image->references, 1, PB_ORDER_REFERENCE_DROP) == 1) {
        if (image->host_view != NULL) {
            pb_region_release(image->host_view, image->bytes);
        }
        pb_os_account_close(&image->account);
        pb_os_file_close(image->file);
        image->allocator->release(image->allocator->context, image);
    }
}

uint64_t pb_image_bytes(const struct pb_image *image) {
    return image->bytes;
}

static enum pb_status host_view_map(struct pb_image *image) {
    void *base;
    enum pb_status status = pb_os_reserve(image->bytes, &base);
    if (status != PB_OK) {
        return status;
    }
    status = pb_os_file_map(image->file, base, image->bytes, NULL);
    if (status == PB_OK) {
        image->host_view = base;
    } else {
        pb_region_release(base, image->bytes);
    }
    return status;
}

/* Makes what a reset by hand needs: an answer from the kernel, and the image's bytes. */
static enum pb_status sweep_begin(struct pb_image *image) {
    enum pb_status status = pb_os_account_try(&image->account);
    if (status != PB_OK) {
        return status;
    }
    pb_lock_acquire(&image->lock);
    if (image->host_view == NULL) {
        status = host_view_map(image);
    }
    pb_lock_release(&image->lock);
    return status;
}

static struct pb_image *retain_if_any(struct pb_image *image) {
    return image == NULL ? NULL : pb_image_retain(image);
}

/* ---- The strategy --------------------------------------------------------------------------- */

static void view_destroy(struct pb_region *region) {
    pb_mapped_destroy(region);
    pb_image_release(region->image);
    pb_image_release(region->first_image);
}

/* Opens a region whose first bytes are a view of image, which may be NULL. */
static enum pb_status view_create(const struct pb_region_config *config, struct pb_image *image,
                                  struct pb_region *region) {
    if (image != NULL && image->bytes > config->accessible_bytes) {
        return PB_INVALID;
    }
    if (image == NULL) {
        return pb_mapped_create(config, region);
    }
    struct pb_region_config closed = *config;
    closed.accessible_bytes = 0;
    enum pb_status status = pb_mapped_create(&closed, region);
    if (status != PB_OK) {
        return status;
    }
    uint64_t tail_bytes = config->accessible_bytes - image->bytes;
    status = pb_os_file_map(image->file, region->base, image->bytes, NULL);
    if (status == PB_OK && tail_bytes > 0) {
        status = pb_os_commit(region->base + image->bytes, tail_bytes);
    }
    if (status == PB_OK) {
        status = pb_region_follow_advice(region, 0, config->accessible_bytes);
    }
    if (status != PB_OK) {
        pb_mapped_destroy(region);
        return status;
    }
    region->image = pb_image_retain(image);
    return PB_OK;
}

static enum pb_status image_create(const struct pb_region_config *config,
                                   struct pb_region *region) {
    enum pb_status status = PB_OK;
    if (config->image != NULL && config->keep_resident_bytes > 0) {
        status = sweep_begin(config->image);
    }
    if (status == PB_OK) {
        status = view_create(config, config->image, region);
    }
    if (status == PB_OK) {
        region->first_image = retain_if_any(config->image);
    }
    return status;
}

/* A copy as a fresh view of image, without its bytes' changes since. */
static enum pb_status copy_of_view(const struct pb_region *source, struct pb_image *image,
                                   struct pb_region *copy) {
    struct pb_region_config config = pb_region_config_of(source);
    struct pb_region made = {
        .capacity_bytes = source->capacity_bytes,
        .guard_bytes = source->guard_bytes,
        .strategy = source->strategy,
        .advice = source->advice,
        .keep_resident_bytes = source->keep_resident_bytes,
        .allocator = source->allocator,
    };
    enum pb_status status = view_create(&config, image, &made);
    if (status == PB_OK) {
        made.first_image = retain_if_any(source->first_image);
        made.accessible_bytes = source->accessible_bytes;
        *copy = made;
    }
    return status;
}

/* Copies what differs from the source's image: its written pages, and all behind the image.
 * written: one byte a page of the image. */
static void copy_written(const struct pb_region *source, const uint8_t *written, bool racing,
                         struct pb_region *copy) {
    uint64_t host = pb_os_page_bytes();
    uint64_t viewed = source->image->bytes;
    for (uint64_t at = 0; at < viewed; at += host) {
        if (written[at / host]) {
            pb_region_copy_bytes(copy->base + at, source->base + at, host, racing);
        }
    }
    pb_region_copy_bytes(copy->base + viewed, source->base + viewed,
                         source->accessible_bytes - viewed, racing);
}

/* True when at most half of the bytes would have to be copied over the view. */
static bool view_pays(const struct pb_region *source, const uint8_t *written) {
    uint64_t host = pb_os_page_bytes();
    uint64_t bytes = source->accessible_bytes - source->image->bytes;
    for (uint64_t page = 0; page < source->image->bytes / host; page++) {
        bytes += written[page] ? host : 0;
    }
    return bytes <= source->accessible_bytes / 2;
}

/* A copy on the source's image. PB_UNSUPPORTED when there is none, when the kernel does not tell
 * what was written, or when a new image is the better deal. */
static enum pb_status copy_on_image(struct pb_region *source, bool racing, struct pb_region *copy) {
    struct pb_image *image = source->image;
    const struct pb_allocator *allocator = source->allocator;
    if (image == NULL) {
        return PB_UNSUPPORTED;
    }
    uint8_t *written =
        allocator->allocate_zeroed(allocator->context, (size_t)(image->bytes / pb_os_page_bytes()));
    if (written == NULL) {
        return PB_NO_MEMORY;
    }
    enum pb_status status =
        pb_os_file_written(&image->account, source->base, image->bytes, written);
    if (status == PB_OK && !view_pays(source, written)) {
        status = PB_UNSUPPORTED;
    }
    if (status == PB_OK) {
        status = copy_of_view(source, image, copy);
    }
    if (status == PB_OK) {
        copy_written(source, written, racing, copy);
    }
    allocator->release(allocator->context, written);
    return status;
}

/* The source becomes a view of an image that holds its very bytes: what it writes from now on can
 * be told apart. An optimisation: when the kernel refuses, all stays as it is. Where it has dropped
 * the old view, bytes and all, they are put back from the copy, and count as written since: nothing
 * is a view of the old image any more, so a reset may not take its pages for one. */
static void adopt_image(struct pb_region *source, struct pb_image *image,
                        const struct pb_region *copy) {
    bool lost = false;
    enum pb_status status = pb_os_file_map(image->file, source->base, image->bytes, &lost);
    if (lost && pb_os_commit(source->base, image->bytes) == PB_OK) {
        pb_region_copy_bytes(source->base, copy->base, image->bytes, false);
    }
    if (status == PB_OK || lost) {
        pb_image_release(source->image);
        source->image = pb_image_retain(image);
    }
}

static enum pb_status image_copy(struct pb_region *source, bool racing, struct pb_region *copy) {
    if (source->accessible_bytes == 0) {
        return copy_of_view(source, NULL, copy);
    }
    enum pb_status status = copy_on_image(source, racing, copy);
    if (status != PB_UNSUPPORTED) {
        return status;
    }
    struct pb_image *image;
    status = image_of(source->base, source->accessible_bytes, racing, source->allocator, &image);
    if (status != PB_OK) {
        return status;
    }
    status = copy_of_view(source, image, copy);
    if (status == PB_OK && !racing) { /* racing guests would write to the mapping that goes */
        adopt_image(source, image, copy);
    }
    pb_image_release(image);
    return status;
}

/* Makes the first bytes the image's again, and what lies behind it zero. */
static enum pb_status view_restore(struct pb_region *region, uint64_t bytes) {
    struct pb_image *image = region->first_image;
    uint64_t old = region->accessible_bytes;
    if (image == NULL || region->keep_resident_bytes == 0) {
        return old > 0 ? pb_os_discard(region->base, old) : PB_OK;
    }
    const struct pb_sweep sweep = {
        .account = &image->account,
        .habit = &region->habit,
        .budget_bytes = region->keep_resident_bytes,
        .together = region->advice != PB_ADVICE_NONE,
        .image = image->host_view,
        .image_bytes = image->bytes,
    };
    enum pb_status status = pb_region_sweep(&sweep, region->base, bytes);
    return status == PB_OK && old > bytes ? pb_os_discard(region->base + bytes, old - bytes)
                                          : status;
}

/* True when that could be done to the mapping as it is. */
static bool view_is_back(struct pb_region *region, uint64_t bytes, enum pb_status *status) {
    uint64_t old = region->accessible_bytes;
    if (region->image != region->first_image) {
        return false;
    }
    *status = view_restore(region, bytes);
    if (*status == PB_OK && old > bytes) {
        *status = pb_os_decommit(region->base + bytes, old - bytes);
    }
    return *status != PB_UNSUPPORTED;
}

static enum pb_status image_reset(struct pb_region *region, uint64_t bytes) {
    enum pb_status status;
    if (view_is_back(region, bytes, &status)) {
        return status == PB_OK ? pb_region_follow_advice(region, 0, bytes) : status;
    }
    status = pb_os_renew(region->base, region->accessible_bytes);
    if (status == PB_OK && bytes > 0) {
        status = pb_os_commit(region->base, bytes);
    }
    if (status == PB_OK && region->first_image != NULL) {
        status = pb_os_file_map(region->first_image->file, region->base, region->first_image->bytes,
                                NULL);
    }
    if (status != PB_OK) {
        return status;
    }
    pb_image_release(region->image);
    region->image = retain_if_any(region->first_image);
    return pb_region_follow_advice(region, 0, bytes);
}

const struct strategy pb_strategy_image = {
    .info = {.name = "image",
             .traps = true,
             .stable_base = true,
             .shareable = true,
             .copy = PB_COPY_ON_WRITE,
             .copy_note =
                 "the first copy (of a shared memory: each) writes an image of every byte, later "
                 "ones map it and copy what was written since",
             .note = "many instances of one start, snapshots and forks"},
    .create = image_create,
    .grow = pb_mapped_grow,
    .copy = image_copy,
    .reset = image_reset,
    .destroy = view_destroy,
};
