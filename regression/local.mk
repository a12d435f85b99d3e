# regression: what a release carries of it (the folder of a unit test names its
# own fixtures)
noinst_PROGRAMS = regression/tok-rate regression/weights-diff
regression_tok_rate_SOURCES = regression/tok-rate.c
regression_tok_rate_LDADD = src/libhymn.a $(HYMN_LIBS)
regression_weights_diff_SOURCES = regression/weights-diff.c
regression_weights_diff_LDADD = src/libhymn.a $(HYMN_LIBS)

# Readers of files under a fuzzer: regression/fuzz.sh builds the first with
# clang, badinput.sh runs the second.
hymn_fuzz_sources = regression/fuzz/fuzz.h regression/fuzz/targets.c \
  regression/fuzz/targets_json.c \
  regression/fuzz/targets_file.c regression/fuzz/targets_text.c
EXTRA_PROGRAMS += regression/fuzz/fuzz
regression_fuzz_fuzz_SOURCES = regression/fuzz/driver.c $(hymn_fuzz_sources)
regression_fuzz_fuzz_LDFLAGS = -fsanitize=fuzzer
regression_fuzz_fuzz_LDADD = src/libhymn.a $(HYMN_LIBS)
noinst_PROGRAMS += regression/fuzz/replay
regression_fuzz_replay_SOURCES = regression/fuzz/replay.c $(hymn_fuzz_sources)
regression_fuzz_replay_LDADD = src/libhymn.a $(HYMN_LIBS)

EXTRA_DIST += \
  regression/README \
  regression/badinput.sh \
  regression/blend.sh \
  regression/bench-scaling.sh \
  regression/bench-tokenizers.py \
  regression/bench-tokenizers.sh \
  regression/check.sh \
  regression/cli.sh \
  regression/compare-csv.awk \
  regression/context.sh \
  regression/cuda-bugs.sh \
  regression/cuda-occupancy.sh \
  regression/cuda.sh \
  regression/decks.sh \
  regression/device.sh \
  regression/gpu.sh \
  regression/decks/faults.nml \
  regression/decks/generate.nml \
  regression/decks/dense.nml \
  regression/decks/mlp.nml \
  regression/decks/prepare.nml \
  regression/decks/table.nml \
  regression/decks/states.nml \
  regression/decks/text.nml \
  regression/decks/tune.nml \
  regression/faults.sh \
  regression/fuzz.sh \
  regression/fuzz/corpus \
  regression/fuzz/blend.dict \
  regression/fuzz/deck.dict \
  regression/fuzz/records.dict \
  regression/fuzz/safetensors.dict \
  regression/fuzz/tokenizer.dict \
  regression/fixtures/README \
  regression/fixtures/books.jsonl \
  regression/fixtures/play.txt \
  regression/kill.sh \
  regression/list-layouts \
  regression/layouts.sh \
  regression/lib.sh \
  regression/lineage.sh \
  regression/prepare.sh \
  regression/list \
  regression/matrix.sh \
  regression/mpi-run \
  regression/oracle.sh \
  regression/plan.sh \
  regression/published.sh \
  regression/oracle/attn_mlp/README.md \
  regression/oracle/attn_mlp/case.json \
  regression/oracle/attn_mlp/config.json \
  regression/oracle/attn_mlp/expected.safetensors.gz \
  regression/oracle/attn_mlp/model.safetensors.gz \
  regression/oracle/decode/README.md \
  regression/oracle/decode/case.json \
  regression/oracle/decode/expected.safetensors.gz \
  regression/oracle/hybrid/README.md \
  regression/oracle/hybrid/case.json \
  regression/oracle/hybrid/config.json \
  regression/oracle/hybrid/config.layers_block_type.json \
  regression/oracle/hybrid/expected.safetensors.gz \
  regression/oracle/hybrid/model-00001-of-00003.safetensors.gz \
  regression/oracle/hybrid/model-00002-of-00003.safetensors.gz \
  regression/oracle/hybrid/model-00003-of-00003.safetensors.gz \
  regression/oracle/hybrid/model.safetensors.index.json \
  regression/oracle/hybrid_packed/README.md \
  regression/oracle/hybrid_packed/case.json \
  regression/oracle/hybrid_packed/expected.safetensors.gz \
  regression/oracle/latent_moe/README.md \
  regression/oracle/latent_moe/case.json \
  regression/oracle/latent_moe/config.json \
  regression/oracle/latent_moe/expected.safetensors.gz \
  regression/oracle/latent_moe/model.safetensors.gz \
  regression/oracle/mamba_dt_floor/README.md \
  regression/oracle/mamba_dt_floor/case.json \
  regression/oracle/mamba_dt_floor/config.json \
  regression/oracle/mamba_dt_floor/expected.safetensors.gz \
  regression/oracle/mamba_dt_floor/model.safetensors.gz \
  regression/oracle/mamba_only/README.md \
  regression/oracle/mamba_only/case.json \
  regression/oracle/mamba_only/config.json \
  regression/oracle/mamba_only/expected.safetensors.gz \
  regression/oracle/mamba_only/model.safetensors.gz \
  regression/oracle/mtp/README.md \
  regression/oracle/mtp/case.json \
  regression/oracle/mtp/config.json \
  regression/oracle/mtp/expected.depth1.safetensors.gz \
  regression/oracle/mtp/expected.depth2_repeated.safetensors.gz \
  regression/oracle/mtp/model.safetensors.gz \
  regression/oracle/plain_moe/README.md \
  regression/oracle/plain_moe/case.json \
  regression/oracle/plain_moe/config.json \
  regression/oracle/plain_moe/expected.safetensors.gz \
  regression/oracle/plain_moe/model.safetensors.gz \
  regression/oracle/real_dims/README.md \
  regression/oracle/real_dims/case.json \
  regression/oracle/real_dims/config.json \
  regression/oracle/real_dims/expected.safetensors.gz \
  regression/oracle/real_dims/model.safetensors.gz \
  regression/oracle/train/README.md \
  regression/oracle/train/case.json \
  regression/oracle/train/expected.safetensors.gz \
  regression/oracle/trim.py \
  regression/reference/attention.csv \
  regression/reference/dense.csv \
  regression/reference/mlp.csv \
  regression/reference/pretrain.csv \
  regression/reference/pretrain_3rows.csv \
  regression/reference/text.csv \
  regression/resume.sh \
  regression/run-test \
  regression/setup.sh \
  regression/soak.sh \
  regression/text.sh \
  regression/unit.sh \
  regression/weights.sh
