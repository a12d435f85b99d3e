/* fuzz.h: functions that feed bytes to hymn's readers of files, for libFuzzer
 * (driver.c) and to run kept files again (replay.c). */
#ifndef HYMN_REGRESSION_FUZZ_H
#define HYMN_REGRESSION_FUZZ_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  const char *name; /* also the folder of its kept files */
  /** Read these bytes as a file; whatever they are, it returns. */
  void (*run)(const uint8_t *data, size_t n);
} hy_fuzz_target;

/** All targets; the last has no name. */
extern const hy_fuzz_target hy_fuzz_targets[];
/** NULL: there is none of that name. */
const hy_fuzz_target *hy_fuzz_find(const char *name);

/** Write a file into a folder of this process, which goes when the process
 *  ends; its path, for hy_fuzz_drop. */
char *hy_fuzz_put(const char *name, const void *data, size_t n);
void hy_fuzz_drop(char *path);

/** An error code must come with its text, and only then; forgets both. Any
 *  broken promise aborts. */
void hy_fuzz_judge(int err);
void hy_fuzz_demand(int promise);

void hy_fuzz_deck(const uint8_t *data, size_t n);
void hy_fuzz_records(const uint8_t *data, size_t n);
void hy_fuzz_prompts(const uint8_t *data, size_t n);
void hy_fuzz_tokenizer(const uint8_t *data, size_t n);
void hy_fuzz_indexed(const uint8_t *data, size_t n);
void hy_fuzz_parquet(const uint8_t *data, size_t n);
void hy_fuzz_blend(const uint8_t *data, size_t n);
void hy_fuzz_config(const uint8_t *data, size_t n);
void hy_fuzz_safetensors(const uint8_t *data, size_t n);

#endif
