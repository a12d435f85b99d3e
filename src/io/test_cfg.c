/* config.json in both spellings, what is refused, and that what is written
 * says the same as what was read. */
#include "base/err.h"
#include "base/file.h"
#include "model/cfg.h"
#include "model/decilm.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *dir, *path;

static const char base[] =
    "{\"model_type\":\"nemotron_h\",\"hidden_size\":80,\"vocab_size\":512,"
    "\"num_attention_heads\":8,\"num_key_value_heads\":2,\"head_dim\":16,"
    "\"intermediate_size\":128,\"mamba_num_heads\":8,\"mamba_head_dim\":16,"
    "\"n_groups\":2,\"ssm_state_size\":32,\"conv_kernel\":4,"
    "\"chunk_size\":32,\"n_routed_experts\":16,\"num_experts_per_tok\":4,"
    "\"moe_intermediate_size\":80,\"moe_latent_size\":null,"
    "\"moe_shared_expert_intermediate_size\":112,\"n_shared_experts\":1,"
    "\"routed_scaling_factor\":2.5,\"layer_norm_epsilon\":1e-05,"
    "\"norm_eps\":1e-05,\"tie_word_embeddings\":false,"
    "\"use_conv_bias\":true,\"mlp_hidden_act\":\"relu2\","
    "\"time_step_limit\":[0.0,Infinity],\"rope_theta\":10000,"
    "\"eos_token_id\":[2,11],\"num_hidden_layers\":4,"
    "\"hybrid_override_pattern\":\"M|E*-\"}";

/* base with some keys replaced (null text: removed), as a file. */
static void
write_config(const char *change)
{
  hy_buf text = {0};
  json_t *c = json_loads(change, 0, NULL), *v;
  const char *key;
  char *marked = hy_strdup(base), *inf = strstr(marked, "Infinity");
  json_t *root;
  char *out;

  assert_non_null(c);
  memcpy(inf, "12345678", 8); /* JSON has no infinity: put it back below */
  root = json_loads(marked, 0, NULL);
  assert_non_null(root);
  json_object_foreach(c, key, v)
  {
    if (json_is_string(v) && !strcmp(json_string_value(v), "-"))
      json_object_del(root, key);
    else
      json_object_set(root, key, v);
  }
  out = json_dumps(root, 0);
  if ((inf = strstr(out, "12345678")))
    memcpy(inf, "Infinity", 8);
  hy_buf_printf(&text, "%s", out);
  assert_int_equal(hy_file_write(path, text.data, text.len), HY_OK);
  free(text.data);
  free(out);
  free(marked);
  json_decref(root);
  json_decref(c);
}

static void
reads(hy_deck *d, const char *change, int code, const char *word)
{
  hy_deck_init(d);
  hy_err_clear();
  write_config(change);
  if (hy_cfg_read(d, dir) != code)
    fail_msg("%s: code is not %d: %s", change, code, hy_err_text());
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
}

static void
test_read(void **state)
{
  hy_deck d;

  (void)state;
  reads(&d, "{}", HY_OK, "");
  assert_string_equal(d.model.pattern, "ME*-"); /* the cut | is gone */
  assert_int_equal(d.model.d_model, 80);
  assert_int_equal(d.model.n_kv_heads, 2);
  assert_int_equal(d.model.d_latent, 0);
  assert_int_equal(d.model.d_shared, 112);
  assert_true(d.model.norm_eps == 1e-5);
  assert_int_equal(d.model.mtp_depths, 0);
  hy_deck_free(&d);
  reads(&d,
        "{\"hybrid_override_pattern\":\"-\",\"layers_block_type\":"
        "[\"mamba\",\"moe\",\"attention\",\"mlp\"]}",
        HY_OK, "");
  assert_string_equal(d.model.pattern, "ME*-");
  hy_deck_free(&d);
  reads(&d,
        "{\"layers_block_type\":"
        "[\"linear_attention\",\"moe\",\"full_attention\",\"mlp\"],"
        "\"head_dim\":\"-\"}",
        HY_OK, "");
  assert_string_equal(d.model.pattern, "ME*-");
  assert_int_equal(d.model.d_head, 10);
  hy_deck_free(&d);
}

static void
test_mtp(void **state)
{
  static const struct {
    const char *change, *pattern;
    int depths, repeat;
  } t[] = {
      {"{\"mtp_hybrid_override_pattern\":\"*E\"}", "ME*-", 0, 1},
      {"{\"mtp_hybrid_override_pattern\":\"*E\","
       "\"num_nextn_predict_layers\":1}",
       "ME*-/*E", 1, 1},
      {"{\"mtp_layers_block_type\":[\"attention\",\"moe\"],"
       "\"num_nextn_predict_layers\":2,\"mtp_use_repeated_layer\":true}",
       "ME*-/*E", 2, 1},
      {"{\"mtp_hybrid_override_pattern\":\"*E\","
       "\"num_nextn_predict_layers\":2,\"mtp_use_repeated_layer\":false,"
       "\"mtp_loss_scaling_factor\":0.3}",
       "ME*-/*E/*E", 2, 0},
  };

  (void)state;
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    hy_deck d;

    reads(&d, t[i].change, HY_OK, "");
    assert_string_equal(d.model.pattern, t[i].pattern);
    assert_int_equal(d.model.mtp_depths, t[i].depths);
    assert_int_equal(d.model.mtp_repeat, t[i].repeat);
    assert_true(d.model.mtp_scale == (i == 3 ? 0.3 : 0.1));
    hy_deck_free(&d);
  }
}

static void
test_refused(void **state)
{
  static const struct {
    const char *change, *word;
  } t[] = {
      {"{\"attention_bias\":true}", "attention_bias is true"},
      {"{\"use_conv_bias\":false}", "use_conv_bias"},
      {"{\"mlp_hidden_act\":\"silu\"}", "mlp_hidden_act"},
      {"{\"sliding_window\":128}", "sliding_window"},
      {"{\"n_shared_experts\":2}", "n_shared_experts"},
      {"{\"hidden_dropout\":0.1}", "hidden_dropout"},
      {"{\"model_type\":\"nemotron-nas\"}", "later version"},
      {"{\"quantization_config\":{\"a\":1}}", "quantized"},
      {"{\"time_step_limit\":[0.001,0.1]}", "time_step_limit"},
      {"{\"num_hidden_layers\":5}", "num_hidden_layers is 5"},
      {"{\"layers_block_type\":[\"mamba\"]}", "layers_block_type says M"},
      {"{\"layers_block_type\":[\"conv\"]}", "type conv"},
      {"{\"hybrid_override_pattern\":\"MEX*\"}", "'X'"},
      {"{\"hybrid_override_pattern\":\"-\"}", "has neither"},
      {"{\"norm_eps\":1e-6}", "mean the same and differ"},
      {"{\"hidden_size\":\"80\"}", "an integer"},
      {"{\"hidden_size\":80.5}", "an integer"},
      {"{\"new_gadget\":3}", "new_gadget"},
      {"{\"num_nextn_predict_layers\":1}", "neither"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    hy_deck d;

    /* "-" removes a key: a pattern of one MLP cannot be asked for here */
    reads(&d, t[i].change, HY_EDATA, t[i].word);
    hy_deck_free(&d);
  }
}

/* The blocks of Llama-3.3-Nemotron-Super-49B: its published table as runs of
 * (attention or not, ffn_mult, number of blocks). */
static void
test_decilm(void **state)
{
  static const struct {
    int attention;
    double mult;
    int n;
  } run[] = {{1, 2.625, 1},   {1, 5.25, 5},  {0, 2.625, 2},  {1, 5.25, 3},
             {0, 3.28125, 1}, {1, 5.25, 30}, {0, 1.3125, 1}, {0, 2.625, 2},
             {0, 1.3125, 1},  {0, 5.25, 1},  {0, 1.3125, 1}, {0, 2.625, 1},
             {0, 1.3125, 3},  {1, 5.25, 1},  {0, 1.3125, 1}, {0, 1.0, 2},
             {0, 1.3125, 1},  {0, 1.0, 3},   {0, 1.3125, 2}, {0, 0.5, 2},
             {0, 1.0, 2},     {0, 0.5, 2},   {0, 1.0, 1},    {0, 0.5, 2},
             {1, 5.25, 9}};
  json_t *blocks = json_array();
  json_t *root =
      json_pack("{si si si so}", "hidden_size", 8192, "vocab_size", 128256,
                "num_attention_heads", 64, "block_configs", blocks);
  int n_attention = 0;

  (void)state;
  for (size_t i = 0; i < sizeof run / sizeof *run; i++)
    for (int j = 0; j < run[i].n; j++) {
      json_t *b = json_pack("{s{sb} s{sf}}", "attention", "no_op",
                            !run[i].attention, "ffn", "ffn_mult", run[i].mult);

      if (run[i].attention)
        json_object_set_new(json_object_get(b, "attention"), "n_heads_in_group",
                            json_integer(8));
      n_attention += run[i].attention;
      json_array_append_new(blocks, b);
    }
  assert_int_equal(json_array_size(blocks), 80);
  assert_int_equal(n_attention, 49);
  assert_true(hy_decilm_count(root) == 49867145216);
  json_object_del(root, "block_configs");
  assert_true(hy_decilm_count(root) == -1);
  json_decref(root);
}

static void
test_given(void **state)
{
  hy_deck d;

  (void)state;
  hy_deck_init(&d);
  hy_err_clear();
  assert_int_equal(hy_deck_set(&d, "model.pattern='MM'"), HY_OK);
  write_config("{\"mtp_hybrid_override_pattern\":\"*E\","
               "\"num_nextn_predict_layers\":1}");
  assert_int_equal(hy_cfg_read(&d, dir), HY_OK);
  assert_string_equal(d.model.pattern, "MM");
  assert_int_equal(d.model.mtp_depths, 0);
  hy_deck_free(&d);
  hy_err_clear();
  unlink(path);
  hy_deck_init(&d);
  assert_int_equal(hy_cfg_read(&d, dir), HY_EFILE);
  hy_err_clear();
  assert_int_equal(hy_file_write(path, "{\"a\"", 4), HY_OK);
  assert_int_equal(hy_cfg_read(&d, dir), HY_EFILE);
  hy_deck_free(&d);
}

/* Written with and without the source: the same model; with it: the same
 * keys and spelling. */
static void
test_write(void **state)
{
  static const char *const change[] = {
      "{}", "{\"moe_latent_size\":48}",
      "{\"hybrid_override_pattern\":\"-\",\"layers_block_type\":"
      "[\"linear_attention\",\"moe\",\"full_attention\",\"mlp\"]}",
      "{\"mtp_hybrid_override_pattern\":\"*E\",\"dtype\":\"float32\","
      "\"num_nextn_predict_layers\":2,\"mtp_use_repeated_layer\":true}"};

  (void)state;
  for (size_t i = 0; i < sizeof change / sizeof *change; i++)
    for (int with = 0; with < 2; with++) {
      hy_buf source = {0}, out = {0};
      hy_deck d, e;

      reads(&d, change[i], HY_OK, "");
      assert_int_equal(hy_file_read(path, &source), HY_OK);
      hy_cfg_write(&d.model, "float32", with ? source.data : NULL, &out);
      assert_int_equal(hy_file_write(path, out.data, out.len), HY_OK);
      hy_deck_init(&e);
      if (hy_cfg_read(&e, dir))
        fail_msg("%s", hy_err_text());
      assert_memory_equal(&d.model, &e.model, sizeof d.model);
      if (with) {
        assert_non_null(strstr(out.data, "Infinity"));
        assert_non_null(strstr(out.data, "1e-05"));
        assert_non_null(strstr(out.data, "    11\n"));
      }
      hy_deck_free(&d);
      hy_deck_free(&e);
      free(source.data);
      free(out.data);
    }
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_read),    cmocka_unit_test(test_mtp),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_decilm),
      cmocka_unit_test(test_given),   cmocka_unit_test(test_write)};
  const char *where = getenv("HYMN_TESTDIR");
  int bad;

  dir = hy_asprintf("%s/test_cfg.dir", where ? where : ".");
  path = hy_path_join(dir, "config.json");
  if (hy_make_dirs(dir))
    return 1;
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  rmdir(dir);
  free(path);
  free(dir);
  return bad != 0;
}
