/* Decks: what is read, what is refused, and that printing reads back. */
#include "deck/deck.h"
#include "base/err.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
test_defaults(void **state)
{
  hy_deck d;

  (void)state;
  hy_deck_init(&d);
  assert_string_equal(d.job.kind, "");
  assert_int_equal(d.job.seed, 1234);
  assert_int_equal(d.optim.betas.n, 2);
  assert_true(d.optim.betas.v[1] == 0.95);
  assert_true(d.optim.lr == 1e-3);
  assert_int_equal(d.model.mtp_repeat, 1);
  assert_int_equal(d.prepare.input.n, 0);
  assert_string_equal(d.job.dir, "run");
  assert_false(hy_deck_given(&d, "job.seed"));
  hy_deck_free(&d);
}

static void
test_syntax(void **state)
{
  static const char text[] =
      "! a comment with 'quotes'\n"
      "&JOB Kind='it''s', name = \"a 'b' ! c\" ! comment / &\n"
      "  seed=1e6 /\r\n"
      "&optim betas = 2*0.9 lr=1.5D-3, eps=.5e-7\n"
      "/ &model tie=T norm_topk = .FALSE., mtp_repeat=f d_model = +64 &END\n"
      "&prepare input = 'a.txt',\n 2*'sub/b, c.txt'\n '/abs/d.txt'  field='' "
      "/\n"
      "&data train='mock', valid=0.6, 'v.h5', 2 '/abs/w' /\n";
  hy_deck d;

  (void)state;
  hy_deck_init(&d);
  assert_int_equal(hy_deck_parse(&d, text, "t.nml", "in/x"), HY_OK);
  assert_string_equal(d.job.kind, "it's");
  assert_string_equal(d.job.name, "a 'b' ! c");
  assert_int_equal(d.job.seed, 1000000);
  assert_true(d.optim.betas.v[0] == 0.9 && d.optim.betas.v[1] == 0.9);
  assert_true(d.optim.lr == 1.5e-3 && d.optim.eps == 0.5e-7);
  assert_int_equal(d.model.tie, 1);
  assert_int_equal(d.model.norm_topk, 0);
  assert_int_equal(d.model.mtp_repeat, 0);
  assert_int_equal(d.model.d_model, 64);
  assert_int_equal(d.prepare.input.n, 4);
  assert_string_equal(d.prepare.input.s[0], "in/x/a.txt");
  assert_string_equal(d.prepare.input.s[2], "in/x/sub/b, c.txt");
  assert_string_equal(d.prepare.input.s[3], "/abs/d.txt");
  assert_string_equal(d.prepare.field, "");
  assert_string_equal(d.data.train.path[0], "mock");
  assert_int_equal(d.data.valid.n, 2);
  assert_true(d.data.valid.weight[0] == 0.6 && d.data.valid.weight[1] == 2);
  assert_string_equal(d.data.valid.path[0], "in/x/v.h5");
  assert_string_equal(d.data.valid.path[1], "/abs/w");
  assert_string_equal(d.job.dir, "run"); /* a default is nobody's path */
  assert_true(hy_deck_given(&d, "optim.lr"));
  assert_false(hy_deck_given(&d, "optim.clip"));
  hy_deck_free(&d);
}

/* A refused text, with what its message must hold. */
static void
refused(const char *text, const char *message)
{
  hy_deck d;

  hy_deck_init(&d);
  assert_int_equal(hy_deck_parse(&d, text, "t.nml", ""), HY_EDECK);
  if (!strstr(hy_err_text(), message))
    fail_msg("%s\n  gives  %s\n  not    %s", text, hy_err_text(), message);
  hy_err_clear();
  hy_deck_free(&d);
}

static void
test_refused(void **state)
{
  static const struct {
    const char *text, *message;
  } bad[] = {
      {"&optim\n lerning_rate=1 /",
       "t.nml:2: unknown key optim.lerning_rate; did you mean optim.lr? "
       "(hymn --keys optim)"},
      {"&model d_modle=1 /", "did you mean model.d_model?"},
      {"&model seed=1 /", "did you mean job.seed?"},
      {"&optm lr=1 /", "t.nml:1: unknown group &optm; did you mean &optim?"},
      {"&optim lr=1\n lr=2 /", "t.nml:2: optim.lr was given in line 1 already"},
      {"&job /\n&job /", "t.nml:2: group &job was given in line 1 already"},
      {"&model:x d_ff=1 /", "&model:x: labelled groups are not in this"},
      {"&job\nkind='a' /\n&grid tp=0 /",
       "t.nml:3: grid.tp=0 is out of bounds; give 1 to 65536 ranks"},
      {"&job seed=99999999999999999999 /", "job.seed=99999999999999999999 is "
                                           "out of bounds"},
      {"&optim lr=-1 /", "optim.lr=-1 is out of bounds; give 0.0 to 1e3"},
      {"&optim betas=0.9,1.5 /", "optim.betas=1.5 is out of bounds"},
      {"&optim betas=9*0.5 /", "has 9 values; give at most 8"},
      {"&optim schedule='cos' /",
       "optim.schedule=cos is not known; give one of: constant linear cosine "
       "wsd"},
      {"&optim n_steps=1.5 /", "optim.n_steps=1.5 is not an integer"},
      {"&optim n_steps=0x10 /", "is not an integer"},
      {"&optim lr=nan /", "optim.lr=nan is not a real number"},
      {"&optim lr=1e999 /", "is not a real number"},
      {"&model tie=1 /", "model.tie=1 is not a logical"},
      {"&job kind=pretrain /", "job.kind is text; put it in quotes"},
      {"&optim lr='1' /", "optim.lr is not text; leave the quotes out"},
      {"&optim lr=1,2 /", "optim.lr has 2 values; give one"},
      {"&optim lr= /", "optim.lr has 0 values; give one"},
      {"&optim betas=0.9,,0.95 /", "a value is missing before this comma"},
      {"&optim betas=3* 0.5 /", "n* needs a value right after it"},
      {"&optim betas=0*0.5 /", "a repeat count"},
      {"&job\nkind='a\n/\n", "t.nml:2: a quoted string is not closed"},
      {"&job\nkind='a\nname='b'\n/\n", "t.nml:2: a quoted string is not"},
      {"&job\nkind='a'\n", "t.nml:1: group &job is not closed"},
      {"&job kind='a' &grid tp=1 /", "group &job is not closed"},
      {"&job kind 'a' /", "`key = value` was expected in &job"},
      {"&job kind(1)='a' /", "`key = value` was expected in &job"},
      {"job kind='a' /", "t.nml:1: text outside a group"},
      {"& kind='a' /", "a group name was expected after &"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    refused(bad[i].text, bad[i].message);
}

static void
test_mix_refused(void **state)
{
  static const struct {
    const char *text, *message;
  } bad[] = {
      {"&data train=mock /", "data.train is text; put it in quotes: 'mock'"},
      {"&data train='a', 'b' /",
       "data.train: a is not a weight; give one path"},
      {"&data train='0.5', 'b' /", "data.train: 0.5 is not a weight"},
      {"&data train='a', 0.5 /", "data.train: a is not a weight"},
      {"&data train=0.5, b /",
       "a path in quotes belongs behind the weight 0.5"},
      {"&data train=0.5, 'a', 0.5 /", "data.train has 3 values; give one path"},
      {"&data train=0.5 /", "data.train is text"},
      {"&data train=-1, 'a', 2, 'b' /", "data.train: a weight is negative"},
      {"&data train=0, 'a', 0, 'b' /", "data.train: no weight is above 0"},
      {"&data train=1, 'a', 2, 'a' /", "data.train: a path is there twice"},
      {"&data train=1, '' /", "a path in quotes belongs behind the weight 1"},
      {"&data train=x, 'a' /", "data.train: x is not a weight"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    refused(bad[i].text, bad[i].message);
}

static void
test_too_long(void **state)
{
  char text[HY_STR_LEN + 100] = "&generate prompt='";
  size_t n = strlen(text);
  hy_deck d;

  (void)state;
  hy_deck_init(&d);
  memset(text + n, 'x', HY_STR_LEN - 1);
  strcpy(text + n + HY_STR_LEN - 1, "' /");
  assert_int_equal(hy_deck_parse(&d, text, "t.nml", ""), HY_OK);
  text[n + HY_STR_LEN - 1] = 'x';
  strcpy(text + n + HY_STR_LEN, "' /");
  assert_int_equal(hy_deck_parse(&d, text, "t.nml", ""), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "longer than 1023 bytes"));
  hy_err_clear();
  hy_deck_free(&d);
}

static void
test_command_line(void **state)
{
  hy_deck d;

  (void)state;
  hy_deck_init(&d);
  assert_int_equal(hy_deck_parse(&d, "&optim lr=1 /", "t.nml", "x"), HY_OK);
  assert_int_equal(hy_deck_set(&d, "optim.lr=2d0"), HY_OK);
  assert_int_equal(hy_deck_set(&d, "Model.Pattern=ME*/E"), HY_OK);
  assert_int_equal(hy_deck_set(&d, "generate.prompt=one, two = 'three'"),
                   HY_OK);
  assert_int_equal(hy_deck_set(&d, "optim.betas=0.8, 0.99"), HY_OK);
  assert_int_equal(hy_deck_set(&d, "prepare.input=a b.txt,'c,d.txt'"), HY_OK);
  assert_int_equal(hy_deck_set(&d, "model.from=w"), HY_OK);
  assert_int_equal(hy_deck_set(&d, "job.name='q u'"), HY_OK);
  assert_true(d.optim.lr == 2);
  assert_string_equal(d.model.pattern, "ME*/E");
  assert_string_equal(d.generate.prompt, "one, two = 'three'");
  assert_true(d.optim.betas.n == 2 && d.optim.betas.v[1] == 0.99);
  assert_int_equal(d.prepare.input.n, 2);
  assert_string_equal(d.prepare.input.s[0], "a b.txt");
  assert_string_equal(d.prepare.input.s[1], "c,d.txt");
  assert_string_equal(d.model.from, "w");
  assert_string_equal(d.job.name, "q u");
  assert_int_equal(hy_deck_set(&d, "data.train=a b.h5"), HY_OK);
  assert_int_equal(d.data.train.n, 1);
  assert_string_equal(d.data.train.path[0], "a b.h5");
  assert_int_equal(hy_deck_set(&d, "data.train=.25, a, 3,'b,c'"), HY_OK);
  assert_int_equal(d.data.train.n, 2);
  assert_string_equal(d.data.train.path[1], "b,c");
  assert_true(d.data.train.weight[0] == 0.25);
  assert_int_equal(hy_deck_set(&d, "data.train="), HY_OK);
  assert_int_equal(d.data.train.n, 0);
  assert_int_equal(hy_deck_set(&d, "model.from="), HY_OK);
  assert_string_equal(d.model.from, "");
  assert_int_equal(hy_deck_set(&d, "optim.lr"), HY_EUSAGE);
  hy_err_clear();
  assert_int_equal(hy_deck_set(&d, "lr=1"), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "did you mean optim.lr?"));
  hy_err_clear();
  assert_int_equal(hy_deck_set(&d, "optim.lr=abc"), HY_EDECK);
  hy_err_clear();
  assert_true(d.optim.lr == 2); /* a refused value changes nothing */
  hy_deck_free(&d);
}

/* default < config.json < deck < command line */
static void
test_order(void **state)
{
  hy_deck d;

  (void)state;
  hy_deck_init(&d);
  assert_int_equal(hy_deck_parse(&d, "&model vocab=10 /", "t.nml", ""), HY_OK);
  assert_int_equal(hy_deck_set(&d, "model.d_ff=20"), HY_OK);
  assert_int_equal(hy_deck_fill(&d, "model.vocab", "1", "c.json"), HY_OK);
  assert_int_equal(hy_deck_fill(&d, "model.d_ff", "2", "c.json"), HY_OK);
  assert_int_equal(hy_deck_fill(&d, "model.d_model", "3", "c.json"), HY_OK);
  assert_int_equal(hy_deck_fill(&d, "model.pattern", "M-", "c.json"), HY_OK);
  assert_int_equal(d.model.vocab, 10);
  assert_int_equal(d.model.d_ff, 20);
  assert_int_equal(d.model.d_model, 3);
  assert_string_equal(d.model.pattern, "M-");
  assert_false(hy_deck_given(&d, "model.d_model"));
  assert_int_equal(hy_deck_fill(&d, "model.d_head", "-3", "c.json"), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "c.json: model.d_head=-3"));
  hy_err_clear();
  hy_deck_free(&d);
}

/* What is printed reads back to the same values, whatever they are. */
static void
test_round_trip(void **state)
{
  hy_deck a, b;

  (void)state;
  hy_deck_init(&a);
  assert_int_equal(
      hy_deck_parse(&a,
                    "&optim lr=0.1, eps=4.9406564584124654e-324, clip=123456789"
                    ".12345678 betas=0.3333333333333333,0.9 /\n"
                    "&job dir='r', seed=9223372036854775807 /\n"
                    "&prepare input='x''y', 'z' /\n"
                    "&data train=0.1,'k',.3,'l''m' valid='n' /\n"
                    "&compare case='c' /",
                    "t.nml", "d e"),
      HY_OK);
  assert_int_equal(hy_deck_set(&a, "generate.prompt='tick\nnew \"line\"'''"),
                   HY_OK);
  for (int all = 0; all < 2; all++) {
    hy_buf one = {0}, two = {0};

    hy_deck_print(&a, &one, all);
    hy_deck_init(&b);
    if (hy_deck_parse(&b, one.data, "printed", ""))
      fail_msg("%s\n%s", hy_err_text(), one.data);
    assert_true(a.optim.lr == b.optim.lr && a.optim.eps == b.optim.eps);
    assert_true(a.optim.clip == b.optim.clip);
    assert_true(a.optim.betas.v[0] == b.optim.betas.v[0]);
    assert_string_equal(b.job.dir, "d e/r");
    assert_string_equal(b.compare.case_, "d e/c");
    assert_int_equal(b.job.seed, INT64_MAX);
    assert_string_equal(b.prepare.input.s[0], "d e/x'y");
    assert_string_equal(a.generate.prompt, b.generate.prompt);
    assert_string_equal(b.data.train.path[1], "d e/l'm");
    assert_true(a.data.train.weight[1] == b.data.train.weight[1]);
    assert_string_equal(b.data.valid.path[0], "d e/n");
    hy_deck_print(&b, &two, all);
    assert_string_equal(one.data, two.data);
    free(one.data);
    free(two.data);
    hy_deck_free(&b);
  }
  hy_deck_free(&a);
}

static void
test_file(void **state)
{
  char path[] = "test_deck_XXXXXX.nml";
  int fd = mkstemps(path, 4);
  hy_deck d;

  (void)state;
  assert_true(fd >= 0);
  close(fd);
  hy_deck_init(&d);
  assert_int_equal(hy_file_write(path, "&grid tp=2 /", 12), HY_OK);
  assert_int_equal(hy_deck_read(&d, path), HY_OK);
  assert_int_equal(d.grid.tp, 2);
  assert_string_equal(d.path, path);
  assert_int_equal(hy_file_write(path, "\x89HDF\0\0", 6), HY_OK);
  assert_int_equal(hy_deck_read(&d, path), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "not a text file"));
  hy_err_clear();
  unlink(path);
  assert_int_equal(hy_deck_read(&d, path), HY_EFILE);
  hy_err_clear();
  hy_deck_free(&d);
}

/* --keys names every group, and refuses an unknown one. */
static void
test_keys(void **state)
{
  char *text = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&text, &n);

  (void)state;
  assert_int_equal(hy_deck_keys(f, NULL), HY_OK);
  assert_int_equal(hy_deck_keys(f, "oops"), HY_EUSAGE);
  hy_err_clear();
  fclose(f);
#define HY_GROUP(g, help) assert_non_null(strstr(text, "&" #g "  " help "\n"));
#define HY_INT(g, k, def, lo, hi, unit, help)                                  \
  assert_non_null(strstr(text, "  " #k " "));                                  \
  assert_non_null(strstr(text, "  " help "\n"));
#include "deck/blank.h"
#include "deck/deck.def"
#include "deck/undef.h"
  free(text);
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_defaults), cmocka_unit_test(test_syntax),
      cmocka_unit_test(test_refused),  cmocka_unit_test(test_mix_refused),
      cmocka_unit_test(test_too_long), cmocka_unit_test(test_command_line),
      cmocka_unit_test(test_order),    cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_file),     cmocka_unit_test(test_keys)};

  return cmocka_run_group_tests(test, NULL, NULL);
}
