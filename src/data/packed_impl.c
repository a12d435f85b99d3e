#include "data/packed_impl.h"

#include <stddef.h>
#include <stdlib.h>

const hy_packed_col hy_packed_cols[HY_PK_N] = {
    [HY_PK_TOKENS] = {"tokens", sizeof(int32_t), 1, 0},
    [HY_PK_DOC] = {"doc_start", sizeof(int64_t), 1, 0},
    [HY_PK_ROWS] = {"rows", sizeof(int64_t), 2, 0},
    [HY_PK_WEIGHT] = {"weight", sizeof(float), 1, 1},
};

hid_t
hy_packed_type(int col)
{
  return col == HY_PK_TOKENS   ? H5T_STD_I32LE
         : col == HY_PK_WEIGHT ? H5T_IEEE_F32LE
                               : H5T_STD_I64LE;
}

#define TEXT(name, field)                                                      \
  {                                                                            \
    name, 1, offsetof(hy_packed_info, field)                                   \
  }
#define NUMBER(name, field)                                                    \
  {                                                                            \
    name, 0, offsetof(hy_packed_info, field)                                   \
  }

const hy_packed_attr hy_packed_attrs[] = {
    TEXT("format", format),     NUMBER("version", version),
    TEXT("packing", packing),   NUMBER("seq_len", seq_len),
    NUMBER("vocab", vocab),     NUMBER("eos", eos),
    NUMBER("seed", seed),       TEXT("tokenizer", tokenizer),
    TEXT("template", chat),     TEXT("keys", keys),
    TEXT("sources", sources),   TEXT("dropped", dropped),
    TEXT("notes", notes),       TEXT("lineage", lineage),
    TEXT("content_hash", hash), TEXT("code", code),
};
const int hy_packed_n_attrs =
    (int)(sizeof hy_packed_attrs / sizeof hy_packed_attrs[0]);

void
hy_packed_info_free(hy_packed_info *info)
{
  for (int i = 0; i < hy_packed_n_attrs; i++)
    if (hy_packed_attrs[i].is_text)
      free(*(char **)((char *)info + hy_packed_attrs[i].at));
}

void
hy_packed_content(const hy_packed_info *info, const int64_t n[HY_PK_N],
                  const uint64_t sum[HY_PK_N], char hash[HY_SHA_HEX])
{
  hy_buf b = {0};
  hy_sha256 h;

  for (int i = 0; i < hy_packed_n_attrs; i++) {
    const hy_packed_attr *a = &hy_packed_attrs[i];
    const char *field = (const char *)info + a->at;

    if (a->at == offsetof(hy_packed_info, hash))
      break;
    if (a->is_text)
      hy_buf_printf(&b, "%s=%s\n", a->name, *(char *const *)field);
    else
      hy_buf_printf(&b, "%s=%lld\n", a->name,
                    (long long)*(const int64_t *)field);
  }
  for (int i = 0; i < HY_PK_N; i++)
    if (n[i])
      hy_buf_printf(&b, "/%s %lld %016llx\n", hy_packed_cols[i].name,
                    (long long)n[i], (unsigned long long)sum[i]);
  hy_sha256_init(&h);
  hy_sha256_add(&h, b.data, b.len);
  hy_sha256_hex(&h, hash);
  free(b.data);
}
