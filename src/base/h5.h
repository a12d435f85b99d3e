/* h5.h: the few HDF5 calls that files of hymn need, with one way to fail.
 *
 * Each returns 0 or -1 and prints nothing; the caller knows what it was about
 * and makes the message. */
#ifndef HYMN_BASE_H5_H
#define HYMN_BASE_H5_H

#include "base/mem.h"

#include <hdf5.h>
#include <stdint.h>

/** HDF5 prints no error stacks from here on. */
void hy_h5_quiet(void);

/** File access list: the plain driver, no file locks (parallel file systems
 *  often lack them), structures that HDF5 1.8 and later read. */
hid_t hy_h5_access(void);

/** Creation list of objects that carry no time stamps. cls: H5P_DATASET_CREATE
 *  or H5P_GROUP_CREATE. */
hid_t hy_h5_timeless(hid_t cls);

/** Scalar attributes of an object. Reading checks the type class. */
int hy_h5_put_text(hid_t obj, const char *name, const char *text);
/** A text attribute that is there gets another text of the same length. */
int hy_h5_set_text(hid_t obj, const char *name, const char *text);
int hy_h5_put_i64(hid_t obj, const char *name, int64_t x);
int hy_h5_put_u64(hid_t obj, const char *name, uint64_t x);
int hy_h5_put_f64(hid_t obj, const char *name, double x);
int hy_h5_get_text(hid_t obj, const char *name, hy_buf *out);
int hy_h5_get_i64(hid_t obj, const char *name, int64_t *x);
int hy_h5_get_u64(hid_t obj, const char *name, uint64_t *x);
int hy_h5_get_f64(hid_t obj, const char *name, double *x);

/** 1 if obj has this attribute. */
int hy_h5_has(hid_t obj, const char *name);

#endif
