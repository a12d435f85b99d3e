/* Damaged and dishonest safetensors files are refused by name; what is written
 * reads back, in the package's order. */
#include "base/err.h"
#include "base/file.h"
#include "io/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *dir;

static char *
in_dir(const char *name)
{
  return hy_path_join(dir, name);
}

/* A file of `length` as header length, the header and n_data zero bytes. */
static void
put(const char *name, uint64_t length, const char *header, size_t n_data)
{
  char *path = in_dir(name), *zero = hy_calloc(n_data, 1);
  hy_buf b = {0};

  for (int i = 0; i < 8; i++) {
    char c = (char)(length >> 8 * i);

    hy_buf_add(&b, &c, 1);
  }
  hy_buf_add(&b, header, strlen(header));
  hy_buf_add(&b, zero, n_data);
  assert_int_equal(hy_file_write(path, b.data, b.len), HY_OK);
  free(b.data);
  free(zero);
  free(path);
}

static void
gone(const char *name)
{
  char *path = in_dir(name);

  unlink(path);
  free(path);
}

/* Opening it gives this code and a line with this word. */
static void
opens(const char *name, int code, const char *word)
{
  char *path = in_dir(name);
  hy_st *s;

  hy_err_clear();
  if (hy_st_open(&s, path) != code)
    fail_msg("code is not %d: %s", code, hy_err_text());
  assert_int_equal(s != NULL, code == HY_OK);
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
  hy_st_close(s);
  free(path);
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

/* Header, bytes of data, and what opening such a file gives. */
static const struct {
  const char *header;
  size_t n_data;
  int code;
  const char *word;
} header_case[] = {
    {"{" A "}", 8, HY_OK, ""},
    {"{}", 0, HY_OK, ""},
    {"{\"__metadata__\":{\"format\":\"pt\"}," A "}  ", 8, HY_OK, ""},
    {"{" A "}", 7, HY_EFILE, "truncated"},
    {"{" A "}", 0, HY_EFILE, "tensor a"},
    {"{" A "}", 9, HY_EDATA, "1 bytes at the end"},
    {"{" A "," A "}", 8, HY_EDATA, "ambiguous"},
    {"{\"a\"", 8, HY_EFILE, "not JSON"},
    {"[1,2,3,4]", 8, HY_EFILE, "not a safetensors"},
    {"{\"a\":7}", 8, HY_EDATA, "tensor a"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, HY_EDATA, "lacks"},
    {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     HY_EDATA, "F33"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8,
     HY_EDATA, "12 bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
     HY_EDATA, "shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],"
     "\"data_offsets\":[0,8]}}",
     8, HY_EDATA, "shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8,
     HY_EDATA, "shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],"
     "\"data_offsets\":[0,8]}}",
     8, HY_EDATA, "dimensions"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8,
     HY_EDATA, "data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8,
     HY_EDATA, "data_offsets"},
    {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],"
     "\"data_offsets\":[4,12]}}",
     12, HY_EDATA, "overlaps"},
    {"{" A ",\"b\":{\"dtype\":\"BF16\",\"shape\":[2],"
     "\"data_offsets\":[12,16]}}",
     16, HY_EDATA, "4 bytes before tensor b"},
    {"{\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8,
     HY_OK, ""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]}}", 0,
     HY_OK, ""},
};

static void
test_header(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof header_case / sizeof *header_case; i++) {
    const char *h = header_case[i].header;

    put("x.safetensors", strlen(h), h, header_case[i].n_data);
    opens("x.safetensors", header_case[i].code, header_case[i].word);
  }
  put("x.safetensors", 1000, "{" A "}", 8);
  opens("x.safetensors", HY_EFILE, "truncated");
  put("x.safetensors", UINT64_MAX, "{" A "}", 8);
  opens("x.safetensors", HY_EFILE, "not a safetensors");
  put("x.safetensors", 1, "{" A "}", 8);
  opens("x.safetensors", HY_EFILE, "truncated");
  gone("x.safetensors");
  opens("x.safetensors", HY_EFILE, "cannot read");
}

static void
text_file(const char *name, const char *text)
{
  char *path = in_dir(name);

  assert_int_equal(hy_file_write(path, text, strlen(text)), HY_OK);
  free(path);
}

#define B "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define ONE "model-00001-of-00002.safetensors"
#define TWO "model-00002-of-00002.safetensors"
#define INDEX "model.safetensors.index.json"

static void
test_folder(void **state)
{
  (void)state;
  opens(".", HY_EFILE, "no model.safetensors");
  text_file("short.safetensors", "abc");
  opens("short.safetensors", HY_EFILE, "not a safetensors");
  gone("short.safetensors");
  put(ONE, strlen("{" A "}"), "{" A "}", 8);
  opens(".", HY_EFILE, "one of 2 files");
  put(TWO, strlen("{" B "}"), "{" B "}", 8);
  opens(".", HY_OK, "");
  text_file(INDEX, "{\"weight_map\":{\"a\":\"" ONE "\",\"b\":\"" TWO "\"}}");
  opens(".", HY_OK, "");
  text_file(INDEX, "{\"weight_map\":{\"a\":\"" ONE "\"}}");
  opens(".", HY_OK, ""); /* the other file is not of this model */
  text_file(INDEX, "{\"weight_map\":{\"a\":\"" ONE "\",\"c\":\"" TWO "\"}}");
  opens(".", HY_EDATA, "tensor c");
  text_file(INDEX, "{\"weight_map\":{\"a\":\"" TWO "\",\"b\":\"" ONE "\"}}");
  opens(".", HY_EDATA, "does not have it");
  text_file(INDEX, "{\"weight_map\":{\"a\":\"no.safetensors\"}}");
  opens(".", HY_EFILE, "no.safetensors");
  text_file(INDEX, "{\"weight_map\":{\"a\":\"../" ONE "\"}}");
  opens(".", HY_EDATA, "names no file");
  text_file(INDEX, "{\"weight_map\":{\"a\":\"" ONE "\",\"a\":\"" TWO "\"}}");
  opens(".", HY_EFILE, INDEX);
  text_file(INDEX, "{}");
  opens(".", HY_EDATA, "weight_map");
  text_file(INDEX, "{\"weight_map\":{\"a\":\"" ONE "\",\"b\":\"" TWO "\"}}");
  put("model.safetensors", strlen("{" A "}"), "{" A "}", 8);
  opens(".", HY_EDATA, "two models");
  gone(INDEX);
  opens(".", HY_OK, ""); /* the single file */
  gone("model.safetensors");
  put(TWO, strlen("{" A "}"), "{" A "}", 8);
  opens(".", HY_EDATA, "also in");
  gone(ONE);
  gone(TWO);
}

static void
test_write(void **state)
{
  static const int64_t dim[2] = {2, 3};
  static const float x[6] = {1, 2, 3, 4, 5, 6};
  static const uint16_t y[6] = {7, 8, 9, 10, 11, 12};
  static const char header[] =
      "{\"__metadata__\":{\"format\":\"pt\"},"
      "\"z\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
      "\"a\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[24,36]},"
      "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[36,48]}}";
  char *path = in_dir("w.safetensors");
  hy_st_writer *w = hy_st_writer_new(path);
  const hy_st_tensor *t;
  hy_buf text = {0};
  hy_st *s;

  (void)state;
  hy_err_clear();
  hy_st_declare(w, "b", HY_ST_BF16, 2, dim);
  hy_st_declare(w, "z", HY_ST_F32, 2, dim);
  hy_st_declare(w, "a", HY_ST_BF16, 2, dim);
  assert_int_equal(hy_st_begin(w, 1, "pt"), HY_OK);
  assert_int_equal(hy_st_order(w, 0), 1);
  assert_int_equal(hy_st_order(w, 1), 2);
  assert_int_equal(hy_st_put(w, x, 8), HY_OK);
  assert_int_equal(hy_st_put(w, x + 2, 16), HY_OK);
  assert_int_equal(hy_st_put(w, y, 12), HY_OK);
  assert_int_equal(hy_st_put(w, y, 12), HY_OK);
  assert_int_equal(hy_st_commit(w), HY_OK);
  hy_st_writer_free(w);
  assert_int_equal(hy_file_read(path, &text), HY_OK);
  assert_int_equal(text.len % 8, 0);
  assert_memory_equal(text.data + 8, header, strlen(header));
  free(text.data);
  assert_int_equal(hy_st_open(&s, path), HY_OK);
  assert_int_equal(hy_st_n(s), 3);
  t = hy_st_find(s, "z");
  assert_non_null(t);
  assert_memory_equal(t->data, x, sizeof x);
  assert_null(hy_st_find(s, "y"));
  hy_st_close(s);
  unlink(path);

  /* too little or too much data leaves no file */
  for (int k = 0; k < 2; k++) {
    hy_err_clear();
    w = hy_st_writer_new(path);
    hy_st_declare(w, "b", HY_ST_BF16, 2, dim);
    hy_st_begin(w, 1, NULL);
    assert_int_equal(hy_st_put(w, y, k ? 14 : 10), k ? HY_EBUG : HY_OK);
    assert_int_equal(hy_st_commit(w), HY_EBUG);
    hy_st_writer_free(w);
    assert_false(hy_path_exists(path));
  }
  free(path);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_header),
                                     cmocka_unit_test(test_folder),
                                     cmocka_unit_test(test_write)};
  const char *where = getenv("HYMN_TESTDIR");
  int bad;

  dir = hy_asprintf("%s/test_safetensors.dir", where ? where : ".");
  if (hy_make_dirs(dir))
    return 1;
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  rmdir(dir);
  free(dir);
  return bad != 0;
}
