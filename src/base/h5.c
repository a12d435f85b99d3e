#include "base/h5.h"

#include <stdlib.h>
#include <string.h>

void
hy_h5_quiet(void)
{
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

hid_t
hy_h5_access(void)
{
  hid_t a = H5Pcreate(H5P_FILE_ACCESS);

  H5Pset_libver_bounds(a, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(a, 0, 1);
#endif
  return a;
}

hid_t
hy_h5_timeless(hid_t cls)
{
  hid_t c = H5Pcreate(cls);

  H5Pset_obj_track_times(c, 0);
  return c;
}

static int
put(hid_t obj, const char *name, hid_t file_type, hid_t type, const void *x)
{
  hid_t space = H5Screate(H5S_SCALAR);
  hid_t a = H5Acreate2(obj, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
  int bad = a < 0 || H5Awrite(a, type, x) < 0;

  if (a >= 0)
    H5Aclose(a);
  H5Sclose(space);
  return bad ? -1 : 0;
}

int
hy_h5_put_text(hid_t obj, const char *name, const char *text)
{
  hid_t type = H5Tcopy(H5T_C_S1);
  int bad;

  H5Tset_size(type, strlen(text) + 1);
  H5Tset_cset(type, H5T_CSET_UTF8);
  bad = put(obj, name, type, type, text);
  H5Tclose(type);
  return bad;
}

int
hy_h5_set_text(hid_t obj, const char *name, const char *text)
{
  hid_t a = H5Aopen(obj, name, H5P_DEFAULT), type;
  int bad = a < 0;

  if (bad)
    return -1;
  type = H5Aget_type(a);
  bad = H5Tget_size(type) != strlen(text) + 1 || H5Awrite(a, type, text) < 0;
  H5Tclose(type);
  bad |= H5Aclose(a) < 0;
  return bad ? -1 : 0;
}

int
hy_h5_put_i64(hid_t obj, const char *name, int64_t x)
{
  return put(obj, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &x);
}

int
hy_h5_put_u64(hid_t obj, const char *name, uint64_t x)
{
  return put(obj, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &x);
}

int
hy_h5_put_f64(hid_t obj, const char *name, double x)
{
  return put(obj, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &x);
}

/* Open an attribute that is one scalar of this class. */
static hid_t
open_scalar(hid_t obj, const char *name, H5T_class_t cls, size_t *size)
{
  hid_t a, type, space;
  int ok;

  if (!hy_h5_has(obj, name) || (a = H5Aopen(obj, name, H5P_DEFAULT)) < 0)
    return -1;
  type = H5Aget_type(a);
  space = H5Aget_space(a);
  ok = H5Tget_class(type) == cls && H5Sget_simple_extent_npoints(space) == 1 &&
       (cls != H5T_STRING || H5Tis_variable_str(type) == 0);
  *size = H5Tget_size(type);
  H5Sclose(space);
  H5Tclose(type);
  if (ok)
    return a;
  H5Aclose(a);
  return -1;
}

static int
get(hid_t obj, const char *name, H5T_class_t cls, hid_t type, void *x)
{
  size_t size;
  hid_t a = open_scalar(obj, name, cls, &size);
  int bad = a < 0 || H5Aread(a, type, x) < 0;

  if (a >= 0)
    H5Aclose(a);
  return bad ? -1 : 0;
}

int
hy_h5_get_text(hid_t obj, const char *name, hy_buf *out)
{
  size_t size = 0;
  hid_t a = open_scalar(obj, name, H5T_STRING, &size), type;
  char *text;
  int bad;

  if (a < 0)
    return -1;
  text = hy_calloc(size + 1, 1);
  type = H5Aget_type(a);
  bad = H5Aread(a, type, text) < 0;
  H5Tclose(type);
  H5Aclose(a);
  if (!bad)
    hy_buf_add(out, text, strlen(text));
  free(text);
  return bad ? -1 : 0;
}

int
hy_h5_get_i64(hid_t obj, const char *name, int64_t *x)
{
  return get(obj, name, H5T_INTEGER, H5T_NATIVE_INT64, x);
}

int
hy_h5_get_u64(hid_t obj, const char *name, uint64_t *x)
{
  return get(obj, name, H5T_INTEGER, H5T_NATIVE_UINT64, x);
}

int
hy_h5_get_f64(hid_t obj, const char *name, double *x)
{
  return get(obj, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, x);
}

int
hy_h5_has(hid_t obj, const char *name)
{
  return H5Aexists(obj, name) > 0;
}
