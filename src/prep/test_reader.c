/* Readers: documents of records against ids and weights made by other
 * programs. With HYMN_DATA=FOLDER whole data sets, with ORACLE=FOLDER packed
 * rows.
 */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test_reader.h"

static void
same_doc(const json_t *want, const result *got, int d)
{
  const json_t *ids = json_object_get(want, "ids"), *run;
  size_t from = d > 0 ? got->end[d - 1] : 0, i, at = from;

  assert_int_equal(got->end[d] - from, json_array_size(ids));
  for (i = 0; i < json_array_size(ids); i++)
    assert_int_equal(got->ids.id[from + i],
                     json_integer_value(json_array_get(ids, i)));
  json_array_foreach(json_object_get(want, "weight"), i, run)
  {
    json_int_t n = json_integer_value(json_array_get(run, 0));

    for (; n > 0; n--)
      assert_true(got->weight.v[at++] ==
                  json_number_value(json_array_get(run, 1)));
  }
  assert_int_equal(at, got->end[d]);
}

/* Records of a file, one at a time. */
typedef struct {
  hy_input in;
  hy_records *r;
} file;

static void
open_file(file *f, const char *path)
{
  hy_err_clear();
  assert_int_equal(hy_input_measure(&f->in, path, INT64_MAX), HY_OK);
  assert_int_equal(f->in.n_shards, 1);
  assert_int_equal(hy_records_open(&f->r, &f->in, 0), HY_OK);
}

static int
next_record(file *f, hy_record *rec)
{
  int more;

  assert_int_equal(hy_records_next(f->r, rec, &more), HY_OK);
  return more;
}

static void
close_file(file *f)
{
  hy_records_close(f->r);
  hy_input_free(&f->in);
}

/* ---- what other programs make ---- */

static void
check_line(const json_t *o, int automatic)
{
  const char *name = json_string_value(json_object_get(o, "file"));
  char *part = hy_asprintf("data/%s", name), *path = fixture(part);
  json_int_t n = json_integer_value(json_object_get(o, "record"));
  const json_t *docs = json_object_get(o, "docs");
  hy_reader *r = reader(
      automatic ? "auto" : json_string_value(json_object_get(o, "reader")));
  result got = {0};
  hy_record rec;
  file f;

  open_file(&f, path);
  for (json_int_t i = 0; i <= n; i++)
    assert_true(next_record(&f, &rec));
  assert_null(read_record(r, &rec, &got));
  assert_int_equal(got.n, json_array_size(docs));
  for (int d = 0; d < got.n; d++)
    same_doc(json_array_get(docs, (size_t)d), &got, d);
  result_clear(&got);
  close_file(&f);
  hy_reader_free(r);
  free(part);
  free(path);
}

static void
test_expected(void **state)
{
  static const char *const known[] = {"hellaswag", "squad", "helpsteer3",
                                      "openmath",  "pair",  "chat"};
  char *path = fixture("data/expected.jsonl");
  hy_record rec;
  file f;
  int n = 0, n_auto = 0;

  (void)state;
  open_file(&f, path);
  for (; next_record(&f, &rec); n++) {
    const char *name = json_string_value(json_object_get(rec.json, "reader"));

    check_line(rec.json, 0);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
      if (!strcmp(name, known[i])) {
        check_line(rec.json, 1);
        n_auto++;
      }
  }
  assert_true(n > 60 && n_auto > 30);
  close_file(&f);
  free(path);
}

static void
add_sums(const result *got, int64_t sum[4])
{
  for (int d = 0; d < got->n; d++)
    for (size_t i = d ? got->end[d - 1] : 0, k = 1; i < got->end[d]; i++, k++) {
      int64_t w = (int64_t)got->weight.v[i];

      sum[1]++;
      sum[2] += w;
      sum[3] = (sum[3] + (int64_t)k * (2 * got->ids.id[i] + w)) & 0xFFFFFFFF;
    }
  sum[0] += got->n;
}

static void
test_whole(void **state)
{
  static const char *const name[] = {"docs", "tokens", "learned", "sum"};
  const char *data = getenv("HYMN_DATA");
  char *path = fixture("data/totals.jsonl");
  hy_record rec, row;
  file f, whole;

  (void)state;
  open_file(&f, path);
  while (data && next_record(&f, &rec)) {
    const char *what = json_string_value(json_object_get(rec.json, "reader"));
    const char *at = json_string_value(json_object_get(rec.json, "file"));
    char *in = hy_path_join(data, at);
    hy_reader *r = reader(what);
    int64_t sum[4] = {0};
    result got = {0};

    open_file(&whole, in);
    while (next_record(&whole, &row)) {
      assert_null(read_record(r, &row, &got));
      add_sums(&got, sum);
    }
    print_message("%s, %s: %lld documents\n", at, what, (long long)sum[0]);
    for (int i = 0; i < 4; i++)
      assert_int_equal(sum[i],
                       json_integer_value(json_object_get(rec.json, name[i])));
    result_clear(&got);
    close_file(&whole);
    hy_reader_free(r);
    free(in);
  }
  close_file(&f);
  free(path);
}

/* ---- what else a reader does ---- */

/* The mask of a row stands one place to the left inside each document. */
static void
test_packed(void **state)
{
  static const char row[] = "{\"input_ids\":[20,21,22,23,24,25],"
                            "\"loss_mask\":[0,1,1,1,0,0],"
                            "\"seq_start_id\":[0,3,3,5]}";
  static const float weight[] = {0, 0, 1, 0, 1, 0};
  result got = {0};

  (void)state;
  docs_of("packed_sft", row, &got);
  assert_int_equal(got.n, 3);
  assert_int_equal(got.ids.n, 6);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(got.ids.id[i], 20 + i);
    assert_true(got.weight.v[i] == weight[i]);
  }
  assert_int_equal(got.end[0], 3);
  assert_int_equal(got.end[1], 5);
  assert_false(got.same_row[0]);
  assert_true(got.same_row[1] && got.same_row[2]);
  result_clear(&got);
}

/* What the trainer is fed for each document of a row: all but the last token,
 * the tokens after them, and which of these are learned. */
static void
same_fed(const json_t *want, const result *got)
{
  const json_t *token = json_object_get(want, "tokens");
  const json_t *label = json_object_get(want, "labels");
  const json_t *mask = json_object_get(want, "loss_mask");
  size_t at = 0, i = 0;

  for (int d = 0; d < got->n; d++, i++)
    for (; i + 1 < got->end[d]; i++, at++) {
      assert_int_equal(json_integer_value(json_array_get(token, at)),
                       got->ids.id[i]);
      assert_int_equal(json_integer_value(json_array_get(label, at)),
                       got->ids.id[i + 1]);
      assert_true((float)json_integer_value(json_array_get(mask, at)) ==
                  got->weight.v[i + 1]);
    }
  assert_int_equal(at, json_array_size(token));
}

static void
test_packed_whole(void **state)
{
  const char *dir = getenv("ORACLE");
  char *path =
      hy_asprintf("%s/data_formats/packed_sft.expected.json", dir ? dir : "");
  json_t *o = json_load_file(path, 0, NULL);
  hy_reader *r = reader("packed_sft");
  result got = {0};
  size_t i, k = 0;
  const json_t *name;

  (void)state;
  json_array_foreach(json_object_get(o, "files"), i, name)
  {
    char *in = hy_asprintf("%s/data_formats/%s", dir, json_string_value(name));
    hy_record rec;
    file f;

    for (open_file(&f, in); next_record(&f, &rec); k++) {
      assert_null(read_record(r, &rec, &got));
      same_fed(json_object_get(json_array_get(json_object_get(o, "rows"), k),
                               "collated"),
               &got);
    }
    close_file(&f);
    free(in);
  }
  assert_int_equal(k, json_array_size(json_object_get(o, "rows")));
  result_clear(&got);
  hy_reader_free(r);
  json_decref(o);
  free(path);
}

static int
learned(const char *spec, const char *text)
{
  result got = {0};
  float n = 0;

  docs_of(spec, text, &got);
  for (size_t i = 0; i < got.weight.n; i++)
    n += got.weight.v[i];
  if (!strcmp(spec + strlen(spec) - 4, "+all"))
    assert_true(n == (float)got.weight.n);
  result_clear(&got);
  return (int)n;
}

static void
test_loss(void **state)
{
  static const char pair[] = "{\"prompt\":\"one two\",\"answer\":\"three\"}";
  static const char said[] =
      "{\"prompt\":[" USER "," SAYS "," USER "],\"answer\":\"three\"}";
  static const char talk[] = "{\"messages\":[" USER "," SAYS "]}";

  (void)state;
  assert_true(learned("pair", pair) < learned("pair+all", pair));
  assert_true(learned("pair", said) < learned("pair+all", said));
  assert_true(learned("chat", talk) < learned("chat+all", talk));
}

static void
test_note(void **state)
{
  result got = {0};

  (void)state;
  docs_of("helpsteer3", "{\"context\":\"c\"," HELP ",\"overall_preference\":0}",
          &got);
  assert_non_null(strstr(got.note, "tie"));
  docs_of("helpsteer3", "{\"context\":\"c\"," HELP ",\"overall_preference\":1}",
          &got);
  assert_null(got.note);
  result_clear(&got);
}

static int
take_flags(void *arg, const hy_doc *d)
{
  *(int *)arg = d->wrap << 1 | d->eos;
  return HY_OK;
}

/* A template with tokens of its own begins and ends with them; of another one
 * the document does, as a text. */
static void
test_around(void **state)
{
  static const char talk[] = "{\"messages\":[" USER "," SAYS "]}";
  static const struct {
    const char *chat, *record;
    int flags;
  } cases[] = {{"nemotron3", talk, 0},
               {"llama3", talk, 0},
               {"plain", talk, 3},
               {"plain", "{\"text\":\"a\"}", 3},
               {"plain", "{\"ids\":[5]}", 1},
               {"plain", "{\"prompt\":\"a\",\"answer\":\"b\"}", 3}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char name[32];
    hy_reader_keys k = keys_for("auto", name);
    json_t *o = parse(cases[i].record, strlen(cases[i].record));
    hy_record rec = {.json = o};
    hy_reader *r;
    const char *why;
    int flags = -1;

    k.wrap = 1;
    k.chat = hy_chat_named(cases[i].chat);
    assert_int_equal(hy_reader_new(&r, &k), HY_OK);
    assert_int_equal(hy_reader_record(r, &rec, &why, take_flags, &flags),
                     HY_OK);
    assert_null(why);
    assert_int_equal(flags, cases[i].flags);
    hy_reader_free(r);
    json_decref(o);
  }
}

/* Lists in a column of strings. */
static void
test_strings(void **state)
{
  result a = {0}, b = {0};

  (void)state;
  docs_of("chat", "{\"messages\":[" USER "," SAYS "],\"tools\":null}", &a);
  docs_of("chat",
          "{\"messages\":\"[{\\\"role\\\":\\\"user\\\",\\\"content\\\":"
          "\\\"u\\\"},{\\\"role\\\":\\\"assistant\\\",\\\"content\\\":"
          "\\\"a\\\"}]\",\"tools\":\"[]\"}",
          &b);
  assert_int_equal(a.ids.n, b.ids.n);
  assert_memory_equal(a.ids.id, b.ids.id, a.ids.n * sizeof *a.ids.id);
  result_clear(&a);
  result_clear(&b);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_expected), cmocka_unit_test(test_whole),
      cmocka_unit_test(test_packed),   cmocka_unit_test(test_packed_whole),
      cmocka_unit_test(test_loss),     cmocka_unit_test(test_note),
      cmocka_unit_test(test_around),   cmocka_unit_test(test_strings)};

  open_tokenizer();
  return close_tokenizer(cmocka_run_group_tests(tests, NULL, NULL));
}
