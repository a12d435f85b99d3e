/* targets_json.c: blends and config.json of weight folders. */
#include "fuzz.h"
#include "base/err.h"
#include "base/file.h"
#include "data/blend_file.h"
#include "data/shares.h"
#include "model/cfg.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* Each of the first samples comes from one source, which then stays within two
 * samples of its share. */
static void
share_out(const hy_mix *mix)
{
  hy_shares *s = hy_shares_new(mix->weight, mix->n);
  int64_t *n = hy_calloc((size_t)mix->n, sizeof *n), i, at = 0;
  int k;

  for (i = 0; s && i < 200; i++) {
    k = hy_shares_at(s, i, &at);
    hy_fuzz_demand(k >= 0 && k < mix->n && at == n[k]);
    n[k]++;
    hy_fuzz_demand(hy_shares_count(s, k, i + 1) == n[k]);
    hy_fuzz_demand(fabs((double)n[k] - hy_shares_of(s, k) * (double)(i + 1)) <=
                   2.001);
  }
  hy_shares_free(s);
  free(n);
}

void
hy_fuzz_blend(const uint8_t *data, size_t n)
{
  char *path = hy_fuzz_put("blend.json", data, n);
  hy_mix mix[3];
  int i, err = hy_blend_file_read(path, mix);

  hy_fuzz_judge(err);
  for (i = 0; i < 3; i++) {
    hy_fuzz_demand(!err || mix[i].n == 0);
    if (mix[i].n > 0) {
      hy_fuzz_demand(!hy_mix_wrong(&mix[i]));
      share_out(&mix[i]);
    }
    hy_mix_clear(&mix[i]);
  }
  hy_fuzz_drop(path);
}

/* What is accepted is written as JSON. */
void
hy_fuzz_config(const uint8_t *data, size_t n)
{
  char *path = hy_fuzz_put("config.json", data, n);
  char *dir = hy_path_dir(path);
  hy_buf out = {0};
  json_t *again;
  hy_deck d;
  int err;

  hy_deck_init(&d);
  err = hy_cfg_read(&d, dir);
  hy_fuzz_judge(err);
  if (!err) {
    hy_cfg_write(&d.model, "bfloat16", NULL, &out);
    again = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    hy_fuzz_demand(json_is_object(again));
    json_decref(again);
  }
  hy_deck_free(&d);
  free(out.data);
  free(dir);
  hy_fuzz_drop(path);
}
